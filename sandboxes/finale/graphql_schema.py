"""The GraphQL schema of an account; its stock columns follow from its locations."""

from collections.abc import Iterable

from graphql import GraphQLSchema, build_schema

from sandboxes.finale.graphql_fields import SCALARS

CONNECTIONS: dict[str, str] = {
    "productViewConnection": "product",
    "partyViewConnection": "party",
    "orderViewConnection": "order",
    "shipmentViewConnection": "shipment",
    "facilityViewConnection": "facility",
}
_PAGING = "first: Int, last: Int, after: String, before: String"
_FILTERS = {
    "product": "productId: [String], status: [String], category: [String], supplier: [String]",
    "party": "partyId: [String], role: [String], status: [String]",
    "order": (
        "orderId: [String], type: [String], status: [String], supplier: [String], product: [String], "
        "orderDate: dateRangeWithFutureInput, receiveDate: dateRangeWithFutureInput"
    ),
    "shipment": "type: [String], status: [String], order: [String], receiveDate: dateRangeWithFutureInput",
    "facility": "facilityId: [String], status: [String], parent: [String]",
}
_OBJECTS = {
    "product": "supplier1: party supplier2: party supplier3: party",
    "party": "",
    "order": (
        f"supplier: party customer: party origin: facility destination: facility "
        f"itemList({_PAGING}): orderItemConnection shipmentList: [shipment]"
    ),
    "orderItem": "product: product",
    "shipment": "order: order",
    "facility": "parent: facility",
}


def schema_of(stock_columns: Iterable[str], *, start_end: bool) -> GraphQLSchema:
    """The schema without its resolvers."""
    ranges = "begin: String end: String start: String" if start_end else "begin: String end: String"
    parts = [
        f"input dateRangeWithFutureInput {{ {ranges} }}",
        "enum sortMode { asc desc }",
        "input sortInput { field: String! mode: sortMode = asc }",
        "type pageInfo { hasNextPage: Boolean hasPreviousPage: Boolean startCursor: String endCursor: String }",
    ]
    for name, scalars in SCALARS.items():
        columns = list(stock_columns) if name == "product" else []
        fields = " ".join(f"{field}(formatter: String): String" for field in [*scalars, *columns])
        parts.append(f"type {name} {{ {fields} {_OBJECTS[name]} }}")
        parts.append(f"type {name}Edge {{ node: {name} cursor: String }}")
        parts.append(f"type {name}Connection {{ edges: [{name}Edge] pageInfo: pageInfo }}")
    queries = (
        f"{connection}({_PAGING}, sort: [sortInput], {_FILTERS[name]}): {name}Connection"
        for connection, name in CONNECTIONS.items()
    )
    parts.append(f"type Query {{ {' '.join(queries)} }}")
    return build_schema("\n".join(parts))
