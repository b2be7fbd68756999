"""The GraphQL endpoint: reading only, formatted texts, errors within HTTP 200 (Finale documentation, GraphQL)."""

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec
from aiohttp import web
from graphql import GraphQLError, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema, graphql_sync

from sandboxes.finale.answering import json_answer, wrong_method
from sandboxes.finale.formatting import LABELS, formatted
from sandboxes.finale.graphql_fields import SCALARS, Field, Reading, locations, party_of, supplier
from sandboxes.finale.graphql_paging import DEFAULT_LINES, DEFAULT_PAGE, connection
from sandboxes.finale.graphql_schema import CONNECTIONS, schema_of
from sandboxes.finale.state import FinaleState
from sandboxes.finale.store import Number, Record, Resource

_Info = GraphQLResolveInfo[Any]
_RESOURCES: dict[str, Resource] = {
    "product": "product",
    "party": "partygroup",
    "order": "order",
    "shipment": "shipment",
    "facility": "facility",
}
_PAGING = ("first", "last", "after", "before")
_SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_DASHES = re.compile(r"\d{4}-\d\d-\d\d")
_DATES = {"orderDate", "receiveDate"}
_VALUES: dict[tuple[str, str], Callable[[Reading, Record], Iterable[Any]]] = {
    ("party", "role"): lambda _, party: party["roleTypeIdList"],
    ("product", "supplier"): lambda _, product: [one.get("supplierPartyUrl") for one in product["supplierList"]],
    ("order", "supplier"): lambda reading, order: [(party_of(reading, order, "SUPPLIER") or {}).get("partyGroupUrl")],
    ("order", "product"): lambda _, order: [line.get("productUrl") for line in order["orderItemList"]],
    ("shipment", "order"): lambda _, shipment: [shipment["primaryOrderUrl"]],
    ("facility", "parent"): lambda _, facility: [facility["parentFacilityUrl"]],
}
"""What a filter looks at where it is no field of the same name."""
_STATUSES = {"Locked": "ORDER_LOCKED", "Cancelled": "ORDER_CANCELLED"}
"""Other words for a state that filters take, besides ids and labels."""


class _Question(msgspec.Struct):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815 - GraphQL over HTTP names it so


class GraphQL:
    """The handler of `/{account}/api/graphql`."""

    def __init__(self, state: FinaleState) -> None:
        self._state = state
        self._schema: tuple[object, GraphQLSchema] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to one query."""
        if request.method != "POST":
            return wrong_method()
        try:
            question = msgspec.json.decode(await request.read(), type=_Question)
        except msgspec.DecodeError as error:
            return json_answer({"errors": [{"message": f"The request is no GraphQL query: {error}"}]})
        result = graphql_sync(
            self._current_schema(),
            question.query,
            context_value=Reading(self._state),
            variable_values=question.variables,
            operation_name=question.operationName,
        )
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [{"message": error.message} for error in result.errors]
        return json_answer(answer)

    def _current_schema(self) -> GraphQLSchema:
        columns = dict(locations(self._state))
        key = (tuple(columns), self._state.switches.date_range_start_end)
        if self._schema is None or self._schema[0] != key:
            schema = schema_of(columns, start_end=self._state.switches.date_range_start_end)
            _resolve_all(schema, columns)
            self._schema = (key, schema)
        return self._schema[1]


def _resolve_all(schema: GraphQLSchema, columns: dict[str, str]) -> None:
    for name, scalars in SCALARS.items():
        fields = _type(schema, name).fields
        for field_name, field in scalars.items():
            fields[field_name].resolve = _scalar(field)
    product, order, item = (_type(schema, name).fields for name in ("product", "order", "orderItem"))
    for field_name, url in columns.items():
        product[field_name].resolve = _scalar(Field("number", _at(url)))
    for index in range(3):
        product[f"supplier{index + 1}"].resolve = _supplier(index)
    order["supplier"].resolve = _role("SUPPLIER")
    order["customer"].resolve = _role("CUSTOMER")
    order["origin"].resolve = _linked("facility", "originFacilityUrl")
    order["destination"].resolve = _linked("facility", "destinationFacilityUrl")
    order["itemList"].resolve = _lines
    order["shipmentList"].resolve = _shipments
    item["product"].resolve = _linked("product", "productUrl")
    _type(schema, "shipment").fields["order"].resolve = _linked("order", "primaryOrderUrl")
    _type(schema, "facility").fields["parent"].resolve = _linked("facility", "parentFacilityUrl")
    for field_name, name in CONNECTIONS.items():
        _type(schema, "Query").fields[field_name].resolve = _view(name)


def _type(schema: GraphQLSchema, name: str) -> GraphQLObjectType:
    return cast(GraphQLObjectType, schema.type_map[name])


def _reading(info: _Info) -> Reading:
    return cast(Reading, info.context)


def _scalar(field: Field) -> Callable[..., str | None]:
    def resolve(record: Record, info: _Info, formatter: str | None = None) -> str | None:
        return formatted(field.get(_reading(info), record), field.kind, formatter)

    return resolve


def _at(url: str) -> Callable[[Reading, Record], Any]:
    return lambda reading, product: reading.by_location.get((product["productUrl"], url))


def _supplier(index: int) -> Callable[..., Record | None]:
    return lambda product, info: supplier(_reading(info), product, index)


def _role(role: str) -> Callable[..., Record | None]:
    return lambda order, info: party_of(_reading(info), order, role)


def _linked(resource: Resource, field: str) -> Callable[..., Record | None]:
    return lambda record, info: _reading(info).store.rows[resource].get(record.get(field))


def _lines(order: Record, info: _Info, **paging: Any) -> dict[str, Any]:
    received = _reading(info).received(order)
    rows: list[Record] = []
    for index, line in enumerate(order["orderItemList"]):
        here = min(received.get(line.get("productUrl", ""), 0), line.get("quantity", 0))
        if here:
            received[line["productUrl"]] -= here
        rows.append({**line, "itemIndex": index, "unitsReceived": here})
    return connection(rows, paging, DEFAULT_LINES)


def _shipments(order: Record, info: _Info) -> list[Record]:
    return [_reading(info).store.get("shipment", url) for url in order["shipmentUrlList"]]


def _view(name: str) -> Callable[..., dict[str, Any]]:
    def resolve(_: object, info: _Info, sort: Sequence[dict[str, Any]] = (), **asked: Any) -> Any:
        reading = _reading(info)
        paging = {key: asked.pop(key) for key in _PAGING if key in asked}
        filters = {key: value for key, value in asked.items() if value not in (None, [], "", [""], {})}
        if name == "order" and "status" in filters and "product" in filters:
            raise GraphQLError("The filters status and product cannot be combined")
        checks = [_check(name, key, value) for key, value in filters.items()]
        rows = [
            row for row in reading.store.rows[_RESOURCES[name]].values() if all(fits(reading, row) for fits in checks)
        ]
        for order in reversed(sort or ()):
            field = SCALARS[name].get(order["field"])
            if field is None:
                raise GraphQLError(f"Cannot sort by {order['field']}. Valid values: {', '.join(SCALARS[name])}")
            rows.sort(key=_sort_key(reading, field), reverse=order["mode"] == "desc")
        return connection(rows, paging, DEFAULT_PAGE, reading.state.switches.graphql_most_rows)

    return resolve


def _sort_key(reading: Reading, field: Field) -> Callable[[Record], tuple[bool, Number, str]]:
    def key(record: Record) -> tuple[bool, Number, str]:
        value = field.get(reading, record)
        return (
            (value is not None, value, "") if isinstance(value, int | Decimal) else (value is not None, 0, str(value))
        )

    return key


def _check(name: str, key: str, wanted: Any) -> Callable[[Reading, Record], bool]:
    """Whether a record passes one filter. GraphQLError for a date that cannot be read."""
    if key in _DATES:
        begin, end = (_day(wanted.get(one) or wanted.get(other)) for one, other in (("begin", "start"), ("end", "end")))
        get = SCALARS[name][key].get
        return lambda reading, record: _in_days(get(reading, record), begin, end)
    if key in ("status", "type"):
        ids = {_STATUSES.get(text, text) for text in wanted}
        field = {"status": "statusId", "type": f"{name}TypeId"}[key]
        return lambda _, record: bool(ids & {record[field], LABELS.get(record[field])})
    values = set(wanted)
    listed = _VALUES.get((name, key))
    if listed is None:
        field_get = SCALARS[name][key].get
        return lambda reading, record: field_get(reading, record) in values
    return lambda reading, record: not values.isdisjoint(listed(reading, record))


def _day(text: str | None) -> str | None:
    if not text:
        return None
    if (slashes := _SLASHES.fullmatch(text)) is not None:
        return f"{slashes[3]}-{int(slashes[1]):02}-{int(slashes[2]):02}"
    if _DASHES.fullmatch(text):
        return text
    raise GraphQLError(f'Invalid date "{text}"')


def _in_days(value: Any, begin: str | None, end: str | None) -> bool:
    if value is None:
        return False
    day = str(value)[:10]
    return (begin is None or begin <= day) and (end is None or day <= end)
