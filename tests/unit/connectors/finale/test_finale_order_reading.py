"""Orders by report and by GraphQL on hand-written answers: which rows are lines, what proves them, what is refused."""

from decimal import Decimal
from typing import Any

import pytest
from finale_fake import FakeClient

from services.transformer.engine import compile_mapping
from shared.clock import SystemClock
from shared.connector_sdk.protocol import BadRecord, Page, ReadRequest
from shared.connectors.finale.orders_state import OrdersState
from shared.connectors.finale.source import FinaleConnector
from shared.connectors.finale.spec import SPEC
from shared.contracts.records import FIELDS
from shared.errors import ConfigurationError, DataError, HeadraceError, UnusableBodyError

PATH = "/acme/doc/report/pivotTable/1/Report.csv"
CONFIG = {
    "account": "acme",
    "report_urls": {"purchase_orders": f"https://app.finaleinventory.com{PATH}?format=csv&data=order"},
}
BOLT, KIT = "/acme/api/product/BOLT-1", "/acme/api/product/KIT-9"
ORDERS = {
    "orderUrl": ["/acme/api/order/1", "/acme/api/order/2", "/acme/api/order/3", "/acme/api/order/4"],
    "orderId": ["1", "2", "3", "4"],
    "orderTypeId": ["PURCHASE_ORDER", "PURCHASE_ORDER", "SALES_ORDER", "PURCHASE_ORDER"],
    "orderItemListTotal": [Decimal("1105.0"), "3", 9, None],
}
ANSWERS = {
    "order/": ORDERS,
    "shipment/": {},
    "partygroup/": {},
    "product/": {"productUrl": [BOLT, KIT], "productId": ["BOLT-1", "KIT-9"]},
}
HEADER = "Supplier,Order ID,Status,Product ID,Quantity,Unit price,Note"


async def read(*rows: str, header: str = HEADER) -> list[Any]:
    body = "".join(f"{row}\r\n" for row in (header, *rows)).encode()
    source = FinaleConnector(SystemClock()).open(CONFIG, FakeClient({**ANSWERS, PATH: body}))
    return [record async for record in source.read_all(ReadRequest("purchase_orders", None))]


def lines(record: Any) -> list[tuple[Any, ...]]:
    return [
        tuple(line.get(name) for name in ("productUrl", "quantity", "unitPrice")) for line in record["orderItemList"]
    ]


PARENTS = (
    "Bolt Works,,,,,,",
    ",1,Committed,,,,", ',,,BOLT-1,"5,000",0.221,urgent',
    ",TOTAL: 1,,,5000,,",
    ',2,Draft,Various,"2",Various,', ",,,KIT-9,1,3,", ",,,--,1,--,",
    "TOTAL: Bolt Works,,,,7,,",
    ",3,Committed,,,,", ",,,KIT-9,3,3,",
    "TOTAL:,,,,10,,",
)  # fmt: skip
FLAT = (
    '--,1,Committed,BOLT-1,"5,000",0.221,urgent',
    "--,2,Draft,KIT-9,1,3,", "--,2,Draft,--,1,--,",
    "--,3,Committed,KIT-9,3,3,",
)  # fmt: skip


@pytest.mark.parametrize("rows", [PARENTS, FLAT], ids=["parents and children", "an order's columns in each line"])
async def test_lines_are_told_from_orders_groups_and_sums(rows: tuple[str, ...]) -> None:
    one, two, four = await read(*rows)
    assert lines(one) == [(BOLT, 5000, Decimal("0.221"))]
    assert one["orderItemList"][0]["lineTotal"] == Decimal("1105.000")
    assert lines(two) == [(KIT, 1, 3), (None, 1, None)]
    assert lines(four) == []
    assert (one["orderUrl"], one["Status"], two["Status"]) == ("/acme/api/order/1", "Committed", "Draft")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (',,,BOLT-1,"4,999",0.221,', "lines make 1104.779 where Finale's total is 1105.0"),
        (',,,BOLT-1,"5,000",0.22,', "shows rounded prices"),
        (",,,BOLT-1,Various,0.22,", "Quantity is no number"),
        (",,,OTHER,5000,0.221,", "'OTHER' is no product of the account"),
    ],
)
async def test_an_order_whose_lines_are_not_proved_is_quarantined_alone(row: str, reason: str) -> None:
    bad, two, _ = await read(",1,,,,,", row, ",2,,,,,", ",,,KIT-9,1,3,")
    assert isinstance(bad, BadRecord)
    assert bad.key == "/acme/api/order/1"
    assert reason in bad.reason
    assert lines(two) == [(KIT, 1, 3)]


@pytest.mark.parametrize(
    ("rows", "header", "error", "says"),
    [
        (
            [",1,,,,,", ",,,BOLT-1,5000,0.221,"],
            HEADER,
            DataError,
            "leaves out 1 where the account has 3 purchase orders",
        ),
        ([",8,,,,,", ",9,,,,,"], HEADER, ConfigurationError, "none of its 2 orders"),
        (["1,x"], "Order ID,Status", ConfigurationError, "no column Product ID; its columns are Order ID, Status"),
        (["1,x"], "Order ID,Product ID", ConfigurationError, "no column Quantity"),
        (["1,x,1"], "PO number,SKU,Qty", ConfigurationError, "no column Unit price"),
        (["x,y"], "Status,Total", ConfigurationError, "no column Order ID; its columns are Status, Total"),
    ],
    ids=["an order left out", "another account", "no product", "no quantity", "no price", "no order"],
)
async def test_what_an_order_report_lacks_is_said(
    rows: list[str], header: str, error: type[HeadraceError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        await read(*rows, header=header)
    assert "report_urls" in caught.value.hint


async def test_an_order_that_the_account_does_not_have_is_no_row_and_not_lost() -> None:
    *good, bad = await read(*PARENTS, ",77,Draft,,,,")
    assert len(good) == 3
    assert isinstance(bad, BadRecord)
    assert bad.key is None


# GraphQL


def node(**change: Any) -> dict[str, Any]:
    line = {
        "quantity": "5,000",
        "productUnitsReceived": "1,200",
        "unitPrice": "0.221",
        "product": {"productId": "BOLT-1", "productUrl": BOLT},
    }
    return {
        "orderId": "10042",
        "orderUrl": "/acme/api/order/10042",
        "status": "Committed",
        "orderDate": "6/17/2026",
        "receiveDate": "--",
        "subtotal": "1,105.00",
        "total": "1,130.10",
        "publicNotes": "--",
        "recordLastUpdated": "6/17/2026 2:05 PM",
        "supplier": {"partyUrl": "/acme/api/partygroup/10083"},
        "itemList": {"edges": [{"node": line}], "pageInfo": {"hasNextPage": False}},
        "shipmentList": [
            {"status": "Received", "receiveDate": "6/30/2026"},
            {"status": "Canceled", "receiveDate": "7/30/2026"},
            {"status": "Editable", "receiveDate": "--"},
        ],
    } | change


def answer(*nodes: Any, **info: Any) -> dict[str, Any]:
    page = {"hasNextPage": False, "endCursor": None} | info
    return {"data": {"orderViewConnection": {"edges": [{"node": one} for one in nodes], "pageInfo": page}}}


async def view(given: Any, after: str = "") -> Page:
    source = FinaleConnector(SystemClock()).open({"account": "acme"}, FakeClient({"graphql": given}))
    return await source.read_page(ReadRequest("purchase_orders", None), OrdersState(view=after).cursor())


async def test_values_that_were_formatted_for_people_become_rows_exactly() -> None:
    (order,) = (await view(answer(node()))).records
    mapped = compile_mapping("purchase_orders", SPEC.mapping({"account": "acme"}, "purchase_orders", {})).apply([order])
    assert not mapped.rejects
    row = dict(zip((field.name for field in FIELDS["purchase_orders"]), mapped.rows[0].cells, strict=True))
    assert (row["order_number"], row["status"], row["vendor_id"]) == (
        "10042", "partially_received", "/acme/api/partygroup/10083"
    )  # fmt: skip
    assert (row["order_date"], row["expected_date"], row["notes"]) == ("2026-06-17", None, None)
    assert [Decimal(str(row[name])) for name in ("subtotal", "total")] == [Decimal("1105.00"), Decimal("1130.10")]
    assert order["lastReceiptDate"] == "2026-06-30T00:00:00"
    assert order["orderItemList"] == [
        {
            "productUrl": BOLT,
            "productId": "BOLT-1",
            "quantity": Decimal(5000),
            "unitPrice": Decimal("0.221"),
            "quantityReceived": Decimal(1200),
            "lineTotal": Decimal("1105.000"),
        }
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subtotal": "a lot"}, "subtotal of /acme/api/order/10042 is no number"),
        ({"orderDate": "yesterday"}, "orderDate of /acme/api/order/10042 is no date"),
        ({"itemList": {"edges": [], "pageInfo": {"hasNextPage": True}}}, "more than 1,000 lines"),
        ({"subtotal": "5", "itemList": {"edges": [{"node": {"quantity": "1,5"}}]}}, "is no number"),
    ],
    ids=["number", "date", "too many lines", "number of a line"],
)
async def test_an_order_that_cannot_be_read_is_quarantined_alone(change: dict[str, Any], reason: str) -> None:
    found = await view(answer(node(**change), node(orderUrl="/acme/api/order/2")))
    assert [record["orderUrl"] for record in found.records] == ["/acme/api/order/2"]
    (bad,) = found.rejects
    assert bad.key == "/acme/api/order/10042"
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"errors": [{"message": "x"}]}, UnusableBodyError, "GraphQL tells of an error"),
        ({"errors": [{"message": "x"}]} | answer(node()), UnusableBodyError, "GraphQL tells of an error"),
        ({"data": None}, UnusableBodyError, "GraphQL tells of an error"),
        ({"errorMessage": "x"}, UnusableBodyError, "GraphQL tells of an error"),
        ([], UnusableBodyError, "GraphQL tells of an error"),
        ({"data": {"orderViewConnection": {}}}, UnusableBodyError, "came without its rows"),
        (answer(None), UnusableBodyError, "came without its rows"),
        (answer(node(itemList=None)), UnusableBodyError, "came without its rows"),
        (answer(node(orderUrl="--")), DataError, "no orderUrl of this account"),
        (answer(node(orderUrl="/other/api/order/1")), DataError, "no orderUrl of this account"),
        (answer(node(), hasNextPage=True, endCursor="here"), DataError, "does not lead on"),
        (answer(node(), hasNextPage=True), DataError, "does not lead on"),
        (answer(hasNextPage=True, endCursor="there"), DataError, "does not lead on"),
    ],
    ids=[
        *("errors", "errors beside data", "no data", "error object", "a list", "no edges", "no node", "no lines"),
        *("no address", "another account", "a loop", "no cursor", "an empty page"),
    ],
)
async def test_an_answer_that_is_no_page_of_orders(given: Any, error: type[HeadraceError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        await view(given, "here")
    assert type(caught.value) is error


async def test_a_page_leads_on_by_its_cursor() -> None:
    found = await view(answer(node(), hasNextPage=True, endCursor="there"), "here")
    assert found.next_cursor == OrdersState(view="there").cursor()
    assert (await view(answer(), "there")).next_cursor is None
