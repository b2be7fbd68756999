"""The joins of the Finale connector on hand-written answers: stock, suppliers, receipts, windows, addresses, errors."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from finale_fake import FakeClient
from pydantic import ValidationError

from services.transformer.engine import compile_mapping
from shared.clock import ManualClock
from shared.connector_sdk.protocol import Page, ReadRequest, Request
from shared.connectors.finale.config import FinaleConfig, FinaleCredentials
from shared.connectors.finale.filters import next_window, window_end
from shared.connectors.finale.source import FinaleConnector
from shared.connectors.finale.spec import SPEC
from shared.contracts.messages import Cursor
from shared.contracts.records import FIELDS
from shared.errors import ConfigurationError, DataError, HeadraceError, PoisonMessageError, UnusableBodyError

CONFIG = {"account": "acme", "time_zone": "America/New_York"}
NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)
BOLT, KIT = "/acme/api/product/BOLT-1", "/acme/api/product/KIT-9"


async def read(entity: Any, **answers: Any) -> list[Any]:
    client = FakeClient({"facility/": FACILITIES} | {f"{name}/": answer for name, answer in answers.items()})
    source = FinaleConnector(ManualClock(NOW)).open(CONFIG, client)
    return [record async for record in source.read_all(ReadRequest(entity, None))]


def stock(**columns: list[Any]) -> dict[str, list[Any]]:
    rows = max(map(len, columns.values()))
    return {"productUrl": [BOLT] * rows} | columns


FACILITIES = {"facilityUrl": ["/acme/api/facility/1"], "facilityName": ["Main"]}
PRODUCTS = {"productUrl": [BOLT, KIT], "productId": ["BOLT-1", "KIT-9"], "internalName": ["Hex bolt", "--"]}


async def test_stock_is_summed_by_product_and_none_at_all_is_0() -> None:
    answer = stock(
        orderUrl=[None, None, "/acme/api/order/1", "/acme/api/order/2"],
        quantityOnHand=["100.5", 20, 0, 0],
        quantityOnOrder=[0, "0", Decimal(500), None],
        quantityReserved=[0, 0, 0, "30"],
    )
    bolt, kit = await read("inventory", product=PRODUCTS, inventoryitem=answer)
    names = ("quantityOnHand", "quantityOnOrder", "quantityReserved")
    assert [bolt[name] for name in names] == [Decimal("120.5"), 500, 30]
    assert [kit[name] for name in names] == [0, 0, 0]
    assert "internalName" not in kit


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (stock(quantityOnOrder=[0], quantityReserved=[0]), "quantityOnHand"),
        (stock(orderUrl=["/o"], quantityOnHand=[0], quantityReserved=[0]), "quantityOnOrder"),
        (stock(orderUrl=["/o"], quantityOnHand=[0], quantityOnOrder=[0]), "quantityReserved"),
        (stock(quantityOnHand=["many"]), "quantityOnHand"),
        ({"productUrl": [None], "quantityOnHand": [1]}, "productUrl"),
        ({"productId": ["BOLT-1"], "quantityOnHand": [1]}, "productUrl"),
    ],
)
async def test_a_quantity_that_is_missing_is_an_error_and_never_0(answer: Any, names: str) -> None:
    with pytest.raises(DataError, match=names):
        await read("inventory", product=PRODUCTS, inventoryitem=answer)


async def test_stock_without_an_order_column_is_all_on_hand() -> None:
    bolt, _ = await read("inventory", product=PRODUCTS, inventoryitem=stock(quantityOnHand=[7]))
    assert bolt["quantityOnHand"] == 7


@pytest.mark.parametrize(
    "answer",
    [
        {"success": False, "errorMessage": "x"},
        {"success": False},
        {"error": "x"},
        {"message": "x"},
        {"exception": "x"},
        {"errors": [{"message": "x"}]},
        {"errors": ["x"]},
        {"errorMessageList": ["x"]},
        {"messages": ["x"]},
        {"productUrl": [BOLT], "errorMessage": "x"},
    ],
)
async def test_an_error_object_with_200_is_no_collection(answer: Any) -> None:
    with pytest.raises(UnusableBodyError, match="tells of a failure"):
        await read("inventory", product=answer, inventoryitem={})


@pytest.mark.parametrize("answer", [{"productUrl": BOLT, "productId": "BOLT-1"}, {"productId": ["A"]}])
async def test_a_single_record_or_rows_without_identity_are_refused(answer: Any) -> None:
    with pytest.raises(DataError):
        await read("inventory", product=answer, inventoryitem={})


async def test_suppliers_are_picked_by_role_and_a_missing_role_column_is_refused() -> None:
    parties = {"partyGroupUrl": ["/a", "/b", "/c"], "roleTypeIdList": [["CUSTOMER"], ["CARRIER", "SUPPLIER"], []]}
    assert [row["partyGroupUrl"] for row in await read("vendors", partygroup=parties)] == ["/b"]
    with pytest.raises(DataError, match="roleTypeIdList"):
        await read("vendors", partygroup={"partyGroupUrl": ["/a"]})


# orders


def header(number: int, **more: Any) -> dict[str, Any]:
    url = f"/acme/api/order/{number}"
    fields = {"orderUrl": url, "orderId": str(number), "orderTypeId": "PURCHASE_ORDER", "statusId": "ORDER_LOCKED"}
    return fields | {"orderRoleList": [{"roleTypeId": "SUPPLIER", "partyId": "7"}]} | more


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def shipment(order: int, number: int, items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "shipmentUrl": f"/acme/api/shipment/{number}",
        "primaryOrderUrl": f"/acme/api/order/{order}",
        "shipmentTypeId": "PURCHASE_SHIPMENT",
        "statusId": "SHIPMENT_DELIVERED",
        "receiveDate": f"2026-06-0{number}T09:00:00",
        "lastUpdatedDate": "2026-06-10T00:00:00",
        "shipmentItemList": [{"productUrl": url, "quantity": quantity} for url, quantity in items.items()],
    } | more


PARTIES = {"partyGroupUrl": ["/acme/api/partygroup/7", "/acme/api/partygroup/x9"], "partyId": ["7", "9"]}


async def pages(answers: dict[str, Any], since: datetime | None = None) -> tuple[list[Page], FakeClient]:
    client = FakeClient({"partygroup/": PARTIES, "shipment/": {}} | answers)
    found: list[Page] = []
    cursor: Cursor = None
    for _ in range(50):
        source = FinaleConnector(ManualClock(NOW)).open(CONFIG, client)
        before = len(client.requests)
        calls = source.calls_of_page("purchase_orders", cursor)
        found.append(await source.read_page(ReadRequest("purchase_orders", since), cursor))
        made = client.requests[before:]
        for limit_class in ("get", "collection"):
            assert sum(limit_class in one.limit_classes for one in made) <= calls.get(limit_class, 0)
        cursor = found[-1].next_cursor
        if cursor is None:
            return found, client
    raise AssertionError("the read did not end")


def lines(*quantities: Any, product: str = BOLT) -> list[dict[str, Any]]:
    return [{"productUrl": product, "quantity": quantity, "unitPrice": Decimal("0.21")} for quantity in quantities]


@pytest.mark.parametrize(
    ("ordered", "arrived", "received", "state", "status"),
    [
        ([10], [], [0], "none", "submitted"),
        ([10], [4], [4], "some", "partially_received"),
        ([10], [4, 6], [10], "all", "submitted"),
        ([10, 5], [12], [10, 2], "some", "partially_received"),
        ([10, 5], [18], [10, 8], "all", "submitted"),
        (["10", "5"], ["1.5"], ["1.5", 0], "some", "partially_received"),
    ],
)
async def test_receipts_fill_the_lines_of_their_product(
    ordered: list[Any], arrived: list[Any], received: list[Any], state: str, status: str
) -> None:
    rows = columns([header(1, orderItemList=lines(*ordered), orderItemListTotal=1)])
    delivered = [shipment(1, number, {BOLT: quantity}) for number, quantity in enumerate(arrived, 1)]
    others = [
        shipment(1, 8, {BOLT: 1}, statusId="SHIPMENT_INPUT"),
        shipment(2, 9, {BOLT: 1}),
        shipment(1, 7, {BOLT: 1}, shipmentTypeId="SALES_SHIPMENT"),
    ]
    found, _ = await pages({"order/": rows, "shipment/": columns([*delivered, *others])})
    (order,) = found[0].records
    assert [Decimal(line["quantityReceived"]) for line in order["orderItemList"]] == [Decimal(one) for one in received]
    assert order["receiptState"] == state
    assert order["vendorUrl"] == "/acme/api/partygroup/7"
    mapped = compile_mapping("purchase_orders", SPEC.mapping(CONFIG, "purchase_orders", {})).apply([order])
    assert not mapped.rejects
    names = [field.name for field in FIELDS["purchase_orders"]]
    assert mapped.rows[0].cells[names.index("status")] == status


async def test_orders_are_read_at_their_addresses_a_few_a_page_and_none_twice() -> None:
    orders = [header(number) for number in range(100, 145)]
    sale = header(150, orderTypeId="SALES_ORDER")
    singles = {f"order/{one['orderId']}": one | {"orderItemList": lines(1)} for one in orders}
    found, client = await pages({"order/": columns([sale, *orders]), **singles})
    assert [len(page.records) for page in found] == [0, 20, 20, 5]
    read_urls = [record["orderUrl"] for page in found for record in page.records]
    assert read_urls == [one["orderUrl"] for one in orders]
    assert sum("/order/1" in request.url for request in client.requests) == 45
    assert sum(request.url.endswith("/") for request in client.requests) == 3


async def test_an_unusual_supplier_address_is_taken_from_the_collection() -> None:
    roles = [{"roleTypeId": "CUSTOMER", "partyId": "7"}, {"roleTypeId": "SUPPLIER", "partyId": "9"}]
    one = header(1, orderRoleList=roles)
    found, _ = await pages({"order/": columns([one]), "order/1": one | {"orderItemList": []}})
    assert found[1].records[0]["vendorUrl"] == "/acme/api/partygroup/x9"


async def test_an_order_that_is_not_there_is_a_reject_and_the_others_go_on() -> None:
    gone = ConfigurationError("nothing here")
    gone.status = 404
    one, two = header(1), header(2) | {"orderItemList": []}
    found, _ = await pages({"order/": columns([one, header(2)]), "order/1": gone, "order/2": two})
    assert [record["orderId"] for record in found[1].records] == ["2"]
    assert [reject.key for reject in found[1].rejects] == ["/acme/api/order/1"]


async def test_an_order_whose_lines_were_left_out_is_no_order_without_lines() -> None:
    one = header(1, orderItemListTotal=5)
    with pytest.raises(DataError, match="orderItemList"):
        await pages({"order/": columns([one]), "order/1": one})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"orderItemList": [None, *lines(1)]}, "a list of objects was due"),
        ({"orderItemList": lines("abc")}, "quantity of a line of /acme/api/order/2 is no number"),
        ({"orderItemListTotal": "much"}, "orderItemListTotal of /acme/api/order/2 is no number"),
        ({"orderRoleList": [None]}, "a list of objects was due"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_what_is_wrong_with_one_order_is_that_orders_alone(
    wrong: dict[str, Any], reason: str, *, whole: bool
) -> None:
    orders = [header(number, orderItemList=lines(1)) for number in (1, 2, 3)]
    orders[1] |= wrong
    heads = orders if whole else [header(number) for number in (1, 2, 3)]
    found, _ = await pages({"order/": columns(heads)} | {f"order/{one['orderId']}": one for one in orders})
    page = found[0 if whole else 1]
    assert [record["orderId"] for record in page.records] == ["1", "3"]
    (reject,) = page.rejects
    assert reject.key == "/acme/api/order/2"
    assert reason in reject.reason


@pytest.mark.parametrize("address", ["https://evil.example/acme/api/order/1", "//evil.example/x", "/other/api/order/1"])
async def test_an_address_that_leads_away_is_not_followed(address: str) -> None:
    one = header(1) | {"orderUrl": address}
    with pytest.raises(DataError, match="leads out of the account"):
        await pages({"order/": columns([one])})


async def test_another_record_than_asked_for_is_refused() -> None:
    """Finale answers some label paths with an unrelated record."""
    with pytest.raises(DataError, match="another record"):
        await pages({"order/": columns([header(1)]), "order/1": header(2)})


def sent_filter(request: Request) -> Any:
    return json.loads(base64.b64decode(dict(request.params)["filter"]))


async def test_an_incremental_read_walks_windows_of_30_days_with_both_bounds_and_a_days_overlap() -> None:
    since = datetime(2026, 5, 1, 4, tzinfo=UTC)
    _, client = await pages({"order/": {}}, since)
    asked = [sent_filter(request) for request in client.requests if "filter" in dict(request.params)]
    assert [one["lastUpdatedDate"] for one in asked] == [
        ["2026-04-30T00:00:00", "2026-05-30T00:00:00"],
        ["2026-05-29T00:00:00", "2026-06-21T08:00:00"],
    ]
    assert {tuple(one["orderTypeId"]) for one in asked} == {("PURCHASE_ORDER", "PURCHASE_ORDER")}


async def test_an_order_whose_shipment_alone_changed_is_read_again() -> None:
    one = header(1) | {"orderItemList": lines(10)}
    answers = {"order/": {}, "order/1": one, "shipment/": columns([shipment(1, 1, {BOLT: 10})])}
    found, _ = await pages(answers, datetime(2026, 6, 9, tzinfo=UTC))
    assert [record["receiptState"] for page in found for record in page.records] == ["all"]
    later, _ = await pages(answers, datetime(2026, 6, 15, tzinfo=UTC))
    assert [record for page in later for record in page.records] == []


def test_windows_end_once() -> None:
    lower: str | None = "2026-01-01T00:00:00"
    seen = []
    while lower is not None:
        upper = window_end(lower, "2026-03-01T00:00:00")
        seen.append((lower[:10], upper[:10]))
        lower = next_window(upper, "2026-03-01T00:00:00")
    assert seen == [("2026-01-01", "2026-01-31"), ("2026-01-30", "2026-03-01")]


@pytest.mark.parametrize("cursor", ["nonsense", "AAAA", 7])
def test_a_cursor_that_is_not_ours_is_poison(cursor: Cursor) -> None:
    source = FinaleConnector(ManualClock(NOW)).open(CONFIG, FakeClient({}))
    with pytest.raises(PoisonMessageError):
        source.calls_of_page("purchase_orders", cursor)


async def test_beyond_the_cap_nothing_is_believed() -> None:
    size = 120_000
    with pytest.raises(DataError, match="cuts it at 120,000"):
        await read("vendors", partygroup={"partyGroupUrl": ["/a"] * size, "roleTypeIdList": [[]] * size})


# config, credentials, words


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"account": "a/b"}, "pattern"),
        ({"account": ""}, "at least 1"),
        ({"time_zone": "Mars/Olympus"}, "time zone"),
        ({"base_url": "https://app.finaleinventory.com/acme"}, "scheme, host and port only"),
        ({"base_url": "ftp://a.example"}, "https://"),
        ({"acount": "x"}, "Extra inputs"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SPEC.config.validate_python(CONFIG | change)


def test_the_spec_says_what_the_catalogue_shows() -> None:
    assert not SPEC.supports_realtime
    assert {name: limit.model_dump(exclude_none=True) for name, limit in SPEC.rate_limits.items()} == {
        "get": {"per_minute": 120, "concurrency": 4},
        "post": {"per_minute": 120, "concurrency": 4},
        "collection": {"per_hour": 300, "concurrency": 2},
        "report": {"concurrency": 1},
    }
    assert SPEC.origins(CONFIG) == ("https://app.finaleinventory.com:443",)
    assert SPEC.vendor_origins == frozenset(SPEC.origins(CONFIG))
    assert SPEC.account(CONFIG, "one key") == SPEC.account(CONFIG | {"account": "ACME"}, "another")
    assert "report_urls" in SPEC.config.json_schema()["properties"]


def test_credentials_are_basic_and_shown_nowhere() -> None:
    found = FinaleCredentials.model_validate({"api_key": "key", "api_secret": "s3cr3t"})
    assert found.secrets().headers == {"Authorization": "Basic " + base64.b64encode(b"key:s3cr3t").decode()}
    assert "s3cr3t" not in repr(found)
    assert FinaleConfig.model_validate(CONFIG).base_url == "https://app.finaleinventory.com"


@pytest.mark.parametrize(
    ("status", "says"), [(401, "api_secret"), (403, "api_secret"), (402, "plan"), (404, "<account>")]
)
async def test_refusals_come_in_words(status: int, says: str) -> None:
    error = DataError("x")
    error.status = status
    with pytest.raises(HeadraceError) as caught:
        await read("vendors", partygroup=error)
    assert says in caught.value.hint
    assert str(status) in caught.value.message
