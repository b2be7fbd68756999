"""GraphQL of the Finale sandbox: formatted texts, offset cursors, filters, errors within 200."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from finale_client import Client, Small, serving, small_shop

from sandboxes.finale.generated import Size, filling
from sandboxes.finale.spoils import Spoil
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches


def nodes(view: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in view["edges"]]


async def view(client: Client, name: str, arguments: str, fields: str) -> Any:
    answer = await client.graphql(
        f"{{ {name}{arguments} {{ edges {{ cursor node {{ {fields} }} }} pageInfo {{"
        " hasNextPage hasPreviousPage startCursor endCursor } } }"
    )
    assert "errors" not in answer, answer
    return answer["data"][name]


async def message(client: Client, query: str) -> str:
    answer = await client.graphql(query)
    return str(answer["errors"][0]["message"])


def shop_with_an_order() -> tuple[Small, str]:
    shop = small_shop()
    with shop.state.clock.at(datetime(2026, 6, 17, 18, 5, tzinfo=UTC)):
        url = shop.order(
            (shop.bolt, 5000, Decimal("0.221")),
            (shop.kit, 2, Decimal("1.50")),
            orderDate="2026-06-17T00:00:00",
            dueDate="2026-07-01T00:00:00",
            orderAdjustmentList=[{"amount": 25, "description": "Freight"}],
        )
        shop.state.act(url, "lock")
    return shop, url


ORDER = """
    orderId orderUrl type status orderDate receiveDate subtotal total totalUnits recordLastUpdated publicNotes
    supplier { partyId partyUrl name }
    itemList(first: 10) { edges { node {
        itemIndex productUnitsOrdered productUnitsReceived unitPrice subtotal product { productId productUrl }
    } } }
    shipmentList { shipmentId shipmentUrl status receiveDate }
"""


async def test_an_order_is_given_as_formatted_texts() -> None:
    shop, url = shop_with_an_order()
    async with serving(shop.state) as client:
        (order,) = nodes(await view(client, "orderViewConnection", '(type: ["PURCHASE_ORDER"])', ORDER))
        lines = nodes(order.pop("itemList"))
        assert order == {
            "orderId": "10001",
            "orderUrl": url,
            "type": "Purchase order",
            "status": "Committed",
            "orderDate": "6/17/2026",
            "receiveDate": "7/1/2026",
            "subtotal": "1,108.000",
            "total": "1,133.000",
            "totalUnits": "5,002",
            "recordLastUpdated": "6/17/2026 2:05 PM",
            "publicNotes": "--",
            "supplier": {"partyId": "10001", "partyUrl": shop.supplier, "name": "Bolt Works"},
            "shipmentList": [],
        }
        assert lines[0] == {
            "itemIndex": "0",
            "productUnitsOrdered": "5,000",
            "productUnitsReceived": "--",
            "unitPrice": "0.221",
            "subtotal": "1,105.000",
            "product": {"productId": "BOLT-1", "productUrl": shop.bolt},
        }
        shop.state.receive(url, {shop.bolt: 1200})
        (order,) = nodes(await view(client, "orderViewConnection", "", ORDER))
        assert [line["productUnitsReceived"] for line in nodes(order["itemList"])] == ["1,200", "--"]
        assert [shipment["status"] for shipment in order["shipmentList"]] == ["Received"]


async def test_formatters() -> None:
    shop, _ = shop_with_an_order()
    fields = """
        raw: orderDate(formatter: "none") number: totalUnits(formatter: "none") none: publicNotes(formatter: "none")
        short: totalUnits(formatter: "abbreviated") status(formatter: "none") page: publicNotes(formatter: "html")
    """
    shop.state.edit_product(shop.bolt, internalName="a < b", leadTime=0)
    async with serving(shop.state) as client:
        (order,) = nodes(await view(client, "orderViewConnection", "", fields))
        assert order == {
            "raw": "2026-06-17T00:00:00",
            "number": "5002",
            "none": None,
            "short": "5.0K",
            "status": "ORDER_LOCKED",
            "page": "--",
        }
        fields = 'description(formatter: "html") leadTime(formatter: "blank-zero") stdReorderLevel stockoutDays'
        bolt, kit = nodes(await view(client, "productViewConnection", "", fields))
        assert bolt == {
            "description": "a &lt; b",
            "leadTime": "",
            "stdReorderLevel": "1,500",
            "stockoutDays": "0 d",
        }
        assert kit["stdReorderLevel"] == "--"
        odd = '{ productViewConnection { edges { node { status(formatter: "odd") } } } }'
        assert "blank-zero" in await message(client, odd)


async def test_stock_is_in_units_in_stock_and_in_the_accounts_own_columns() -> None:
    shop, _ = shop_with_an_order()
    shop.state.add_stock(shop.bolt, shop.bins[0], Decimal("1000.5"))
    shop.state.add_stock(shop.bolt, shop.bins[1], 2)
    column = "stockColumnQuantityOnHandUnitsAcmeapifacility10001"
    fields = f"stockOnHand unitsInStock stockOnOrder stockReserved stockAvailable {column}"
    async with serving(shop.state) as client:
        (bolt,) = nodes(await view(client, "productViewConnection", '(productId: "BOLT-1")', fields))
        assert bolt == {
            "stockOnHand": "--",
            "unitsInStock": "1,002.5",
            "stockOnOrder": "5,000",
            "stockReserved": "0",
            "stockAvailable": "1,002.5",
            column: "1,002.5",
        }
        location = shop.state.add_facility("Second")
        later = column.replace("10001", location.rpartition("/")[2])
        (bolt,) = nodes(await view(client, "productViewConnection", '(productId: "BOLT-1")', later))
        assert bolt == {later: "--"}


async def test_cursors_are_offsets_so_rows_shift_between_pages() -> None:
    state = FinaleState(filling(Size(products=25)))
    ids = sorted(record["productId"] for record in state.records("product"))
    async with serving(state) as client:

        async def page(arguments: str) -> Any:
            return await view(
                client, "productViewConnection", f'({arguments}, sort: [{{field: "productId"}}])', "productId"
            )

        first = await page("first: 10")
        assert [node["productId"] for node in nodes(first)] == ids[:10]
        info = first["pageInfo"]
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
        assert info["endCursor"] == first["edges"][-1]["cursor"] == base64.b64encode(b'{"idx":9}').decode()
        second = await page(f'first: 20, after: "{info["endCursor"]}"')
        assert [node["productId"] for node in nodes(second)] == ids[10:]
        assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (False, True)
        state.add_product("!")  # sorts before all
        shifted = await page(f'first: 20, after: "{info["endCursor"]}"')
        assert nodes(shifted)[0]["productId"] == ids[9]  # met a second time
        last = await page("last: 2")
        assert [node["productId"] for node in nodes(last)] == ids[-2:]
        before = await page(f'last: 2, before: "{info["endCursor"]}"')
        assert [node["productId"] for node in nodes(before)] == ids[6:8]


async def test_without_first_lines_are_lost() -> None:
    shop = small_shop()
    shop.order(*[(shop.bolt, 1, 1)] * 12)
    async with serving(shop.state) as client:

        async def lines(paging: str) -> Any:
            fields = f"itemList{paging} {{ edges {{ node {{ itemIndex }} }} pageInfo {{ hasNextPage endCursor }} }}"
            return nodes(await view(client, "orderViewConnection", "", fields))[0]["itemList"]

        found = await lines("")
        assert (len(found["edges"]), found["pageInfo"]["hasNextPage"]) == (10, True)
        rest = await lines(f'(first: 5, after: "{found["pageInfo"]["endCursor"]}")')
        assert [node["itemIndex"] for node in nodes(rest)] == ["10", "11"]
        assert len((await lines("(first: 50)"))["edges"]) == 12


async def test_filters() -> None:
    shop, url = shop_with_an_order()
    state = shop.state
    other = state.add_party("Other", "SUPPLIER", "CARRIER")
    customer = state.add_party("Buyer", "CUSTOMER")
    state.deactivate_product(shop.kit)
    draft = state.create_order(orderDate="2026-06-20T00:00:00")
    sold = state.create_order("SALES_ORDER", orderDate="2026-07-05T00:00:00")
    receipt = state.receive(url, {shop.bolt: 1})
    every = [shop.bolt, shop.kit]
    cases: list[tuple[str, str, str, list[str]]] = [
        ("product", "", "productUrl", every),
        ("product", '(status: ["Active"])', "productUrl", [shop.bolt]),
        ("product", '(status: ["PRODUCT_INACTIVE", "Active"])', "productUrl", every),
        ("product", "(status: [])", "productUrl", every),
        ("product", '(status: "", productId: "")', "productUrl", every),
        ("product", '(productId: "BOLT")', "productUrl", []),
        ("product", f'(supplier: ["{shop.supplier}"])', "productUrl", [shop.bolt]),
        ("party", '(role: ["SUPPLIER"])', "partyUrl", [shop.supplier, other]),
        ("party", '(role: ["CARRIER", "CUSTOMER"])', "partyUrl", [other, customer]),
        ("order", '(type: ["PURCHASE_ORDER"])', "orderUrl", [url, draft]),
        ("order", '(status: ["Locked"])', "orderUrl", [url]),
        ("order", '(status: ["Committed", "Draft"])', "orderUrl", [url, draft, sold]),
        ("order", f'(product: ["{shop.bolt}"])', "orderUrl", [url]),
        ("order", '(product: ["BOLT-1"])', "orderUrl", []),
        ("order", f'(supplier: ["{shop.supplier}"])', "orderUrl", [url]),
        ("order", '(orderDate: {begin: "2026-06-17", end: "2026-06-20"})', "orderUrl", [url, draft]),
        ("order", '(orderDate: {begin: "6/18/2026"})', "orderUrl", [draft, sold]),
        ("order", '(orderDate: {end: "6/18/2026"}, type: ["Purchase order"])', "orderUrl", [url]),
        ("shipment", f'(order: ["{url}"])', "shipmentUrl", [receipt]),
        ("shipment", '(status: ["SHIPMENT_INPUT"])', "shipmentUrl", []),
        ("facility", f'(parent: ["{shop.location}"])', "facilityUrl", list(shop.bins)),
    ]
    async with serving(state) as client:
        for name, arguments, field, expected in cases:
            found = nodes(await view(client, f"{name}ViewConnection", arguments, field))
            assert [node[field] for node in found] == expected, (name, arguments)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("{ productViewConnection { edges { node { stockOnHnad } } } }", "stockOnHand"),
        ("{ nothing }", "nothing"),
        ("{", "Syntax Error"),
        ('{ productViewConnection(after: "x") { edges { cursor } } }', "cursor"),
        ("{ productViewConnection(first: -1) { edges { cursor } } }", "negative"),
        ('{ productViewConnection(sort: [{field: "x"}]) { edges { cursor } } }', "productId"),
        ('{ orderViewConnection(orderDate: {from: "2026-01-01"}) { edges { cursor } } }', "from"),
        ('{ orderViewConnection(orderDate: {start: "2026-01-01"}) { edges { cursor } } }', "start"),
        ('{ orderViewConnection(orderDate: {begin: "tomorrow"}) { edges { cursor } } }', "tomorrow"),
        ('{ orderViewConnection(recordLastUpdated: {begin: "1"}) { edges { cursor } } }', "recordLastUpdated"),
        ('{ orderViewConnection(status: ["Draft"], product: ["/x"]) { edges { cursor } } }', "status and product"),
    ],
)
async def test_errors_come_with_200(query: str, word: str) -> None:
    async with serving(small_shop().state) as client:
        assert word in await message(client, query)


async def test_a_body_that_is_no_query_and_get() -> None:
    async with serving(small_shop().state) as client:
        answer = await client.post("graphql", b"[]")
        assert answer.status == 200
        assert answer.json["errors"]
        assert (await client.call("GET", "/acme/api/graphql")).status == 405


async def test_start_and_end_by_switch_and_variables() -> None:
    shop, url = shop_with_an_order()
    shop.state.switches = Switches(date_range_start_end=True)
    query = """query ($range: dateRangeWithFutureInput) {
        orderViewConnection(orderDate: $range) { edges { node { orderUrl } } } }"""
    async with serving(shop.state) as client:
        for dates, count in (({"start": "2026-06-17"}, 1), ({"start": "2026-06-18"}, 0), ({"begin": "6/17/2026"}, 1)):
            answer = await client.graphql(query, range=dates)
            assert len(answer["data"]["orderViewConnection"]["edges"]) == count
        shop.state.switches = Switches()
        assert (await client.graphql(query, range={"start": "2026-06-17"}))["errors"]
        assert url


async def test_sorting_and_introspection() -> None:
    state = FinaleState(filling(Size(products=30)))
    async with serving(state) as client:
        found = nodes(
            await view(
                client,
                "productViewConnection",
                '(sort: [{field: "itemCost", mode: desc}])',
                'itemCost(formatter: "none")',
            )
        )
        costs = [Decimal(node["itemCost"]) for node in found if node["itemCost"] is not None]
        assert costs == sorted(costs, reverse=True)
        assert found[-1]["itemCost"] is None
        answer = await client.graphql('{ __type(name: "product") { fields { name } } }')
        assert {"unitsInStock", "productBomList"} <= {field["name"] for field in answer["data"]["__type"]["fields"]}
        (kit,) = [product for product in state.records("product") if product["productAssocList"]][:1]
        fields = "productBomList supplier1 { name } supplier3 { name }"
        (node,) = nodes(await view(client, "productViewConnection", f'(productId: "{kit["productId"]}")', fields))
        assert json.loads(node["productBomList"])[0]["productAssocTypeId"] == "MANUF_COMPONENT"
        assert node["supplier3"] is None


async def test_errors_in_the_place_of_all_or_of_a_half_of_the_data() -> None:
    shop, url = shop_with_an_order()
    two = "{ a: orderViewConnection { edges { cursor } } b: partyViewConnection { edges { cursor } } }"
    async with serving(shop.state) as client:
        shop.state.spoils.set(Spoil(kind="graphql_error", path="/acme/api/graphql"))
        whole = await client.graphql(two)
        assert whole["data"] is None
        assert whole["errors"][0]["message"]
        shop.state.spoils.set(Spoil(kind="graphql_half", path="/acme/api/graphql"))
        half = await client.graphql(two)
        assert half["errors"]
        assert half["data"]["a"] is None
        assert half["data"]["b"]["edges"]
        assert url


async def test_a_page_may_hold_fewer_rows_than_asked_for() -> None:
    state = FinaleState(filling(Size(products=12)), switches=Switches(graphql_most_rows=5))
    async with serving(state) as client:
        found = await view(client, "productViewConnection", "(first: 100)", "productId")
        assert len(found["edges"]) == 5
        assert found["pageInfo"]["hasNextPage"]
        assert len((await view(client, "productViewConnection", "(first: 2)", "productId"))["edges"]) == 2
