"""Reports on hand-written answers: what makes them hard to read, and what is wrong with them in words."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from finale_fake import FakeClient
from pydantic import ValidationError

from shared.clock import SystemClock
from shared.connector_sdk.protocol import BadRecord, ReadRequest
from shared.connectors.finale.account import COLLECTION_CAP, BeyondCapError
from shared.connectors.finale.numbers import formatted_number, parsed
from shared.connectors.finale.source import FinaleConnector
from shared.connectors.finale.spec import SPEC
from shared.errors import ConfigurationError, DataError, HeadraceError, UnusableBodyError

BASE = "https://app.finaleinventory.com"
PATH = "/acme/doc/report/pivotTable/1717171717171/Report"
BOLT, KIT = "/acme/api/product/BOLT-1", "/acme/api/product/KIT-9"
PRODUCTS = {"productUrl": [BOLT, KIT], "productId": ["BOLT-1", "KIT-9"], "internalName": ["Hex bolt", None]}
STOCK = {
    "productUrl": [BOLT, KIT, BOLT],
    "orderUrl": [None, None, "/acme/api/order/1"],
    "quantityOnHand": [1, 2, 0],
    "quantityOnOrder": [0, 0, 5],
    "quantityReserved": [0, 0, 0],
}


def address(form: str = "csv", **change: str) -> str:
    parts = {"origin": BASE, "path": PATH, "query": f"format={form}&data=product&filters=W10%3D"} | change
    return f"{parts['origin']}{parts['path']}.{'csv' if form == 'csv' else 'json'}?{parts['query']}"


def config(entity: str, form: str = "csv") -> dict[str, Any]:
    return {"account": "acme", "report_urls": {entity: address(form)}}


async def read(
    entity: Any, report: bytes | list[Any], piece: int = 100_000, cap: int = COLLECTION_CAP, **answers: Any
) -> list[Mapping[str, Any] | BadRecord]:
    form = "csv" if isinstance(report, bytes) else "jsonObject"
    found = {f"{name}/": answer for name, answer in {"inventoryitem": {}, "facility": {}, **answers}.items()}
    client = FakeClient(found | {f"{PATH}.{'csv' if form == 'csv' else 'json'}": report}, piece)
    source = FinaleConnector(SystemClock(), cap).open(config(entity, form), client)
    records = [record async for record in source.read_all(ReadRequest(entity, None))]
    calls = source.calls_per_page(entity)
    for name, due in calls.items():
        assert sum(name in request.limit_classes for request in client.requests) <= due
    assert "report" in client.requests[0].limit_classes, "who waits for a report waits before the first call"
    assert [bool(request.patience) for request in client.requests[:2]] == [False, True]
    return records


def csv(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def quantities(record: Any) -> list[Any]:
    return [record[name] for name in ("quantityOnHand", "quantityOnOrder", "quantityReserved")]


HEADER = 'Category,Product ID,"Units\nQoH",Units on order,Units reserved,Supplier 1,Supplier 1'


@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_what_makes_a_csv_report_hard_to_read(piece: int) -> None:
    body = csv(
        "Stock of today", "11/25/2026", "", HEADER,
        "Hardware,,,,,,",  # a group
        ',BOLT-1,"1,234.50",--,-3,"Bolt, Works",7',
        "TOTAL: Hardware,,1234.5,,,,",
        ',KIT-9,--,"1,000,000",0,"Kits\nLtd",Various',
        "TOTAL:,,1234.5,,,,",
    )  # fmt: skip
    bolt, kit = await read("inventory", b"\xef\xbb\xbf" + body, piece, product=PRODUCTS)
    assert quantities(bolt) == [Decimal("1234.50"), 0, -3]
    assert quantities(kit) == [0, 1_000_000, 0]
    assert (bolt["productUrl"], bolt["internalName"], bolt["Product ID"]) == (BOLT, "Hex bolt", "BOLT-1")
    assert (bolt["Supplier 1"], bolt["Supplier 1 (2)"]) == ("Bolt, Works", "7")
    assert (kit["Supplier 1"], kit["Supplier 1 (2)"]) == ("Kits\nLtd", "Various")
    assert bolt["Units QoH"] == "1,234.50"
    assert "Category" not in bolt
    assert "Units QoH" not in kit


async def test_a_report_of_objects_has_numbers_and_no_second_column_of_a_name() -> None:
    rows = [
        {"Group": "A", "Product ID": "", "Units\nQoH": None},
        {"Product ID": "BOLT-1", "Units\nQoH": Decimal("0.10"), "Units on order": 7, "Units reserved": "--"},
        {"Product ID": "KIT-9", "Units\nQoH": None, "Units on order": 0, "Units reserved": 1, "New": True},
    ]
    bolt, kit = await read("inventory", rows, product=PRODUCTS)
    assert (quantities(bolt), quantities(kit)) == ([Decimal("0.10"), 7, 0], [0, 0, 1])
    assert kit["New"] is True


async def test_a_stock_column_without_any_number_is_no_stock_of_0() -> None:
    body = csv("Product ID,Units in stock,Units reserved", "BOLT-1,--,2", "KIT-9,--,--")
    bolt, kit = await read("inventory", body, product=PRODUCTS, inventoryitem=STOCK)
    assert (quantities(bolt), quantities(kit)) == ([1, 5, 2], [2, 0, 0])


async def test_a_product_whose_number_is_none_is_quarantined_under_its_address() -> None:
    body = csv("Product ID,QoH,On order,Reserved", "BOLT-1,Various,0,0", "KIT-9,3,0,0")
    bad, kit = await read("inventory", body, product=PRODUCTS)
    assert isinstance(bad, BadRecord)
    assert bad.key == BOLT
    assert "QoH is no number: 'Various'" in bad.reason
    assert quantities(kit) == [3, 0, 0]


async def test_a_column_that_is_named_like_a_field_does_not_take_its_place() -> None:
    body = csv("SKU,QoH,On order,Reserved,internalName", "BOLT-1,1,0,0,other", "KIT-9,3,0,0,another")
    bolt, kit = await read("inventory", body, product=PRODUCTS)
    assert (bolt["internalName"], bolt["internalName (report)"]) == ("Hex bolt", "other")
    assert kit["internalName"] == "another"


STOCKED = "Product ID,QoH,On order,Reserved"


async def test_where_stock_lies_is_told_beside_a_report_of_all_quantities() -> None:
    """Else `location` would come and go with the way that products are read."""
    facility = {"facilityUrl": ["/acme/api/facility/1"], "facilityName": ["Main"]}
    stock = STOCK | {"facilityUrl": ["/acme/api/facility/1"] * 3}
    body = csv(STOCKED, "BOLT-1,1,5,0", "KIT-9,3,0,0")
    bolt, kit = await read("inventory", body, product=PRODUCTS, inventoryitem=stock, facility=facility)
    assert isinstance(bolt, dict)
    assert isinstance(kit, dict)
    assert (bolt["stockLocations"], bolt["stockLocationNames"]) == (
        [{"location": "Main", "quantityOnHand": 1}],
        ["Main"],
    )
    assert (quantities(kit), kit["stockLocations"]) == ([3, 0, 0], [{"location": "Main", "quantityOnHand": 2}])


async def test_more_stock_than_can_be_summed_leaves_out_places_where_the_report_has_quantities() -> None:
    body = csv(STOCKED, "BOLT-1,1,5,0", "KIT-9,3,0,0")
    bolt, kit = await read("inventory", body, product=PRODUCTS, inventoryitem=STOCK, cap=3)
    assert (quantities(bolt), quantities(kit)) == ([1, 5, 0], [3, 0, 0])
    assert "stockLocations" not in bolt  # type: ignore[operator] # a record

    with pytest.raises(BeyondCapError):
        await read(
            "inventory", csv("Product ID,QoH", "BOLT-1,1", "KIT-9,3"), product=PRODUCTS, inventoryitem=STOCK, cap=3
        )


async def test_what_the_account_does_not_have_is_no_row_and_not_lost() -> None:
    body = csv(STOCKED, "BOLT-1,1,0,0", "NEW-1,9,0,0", "KIT-9,3,0,0")
    *good, bad = await read("inventory", body, product=PRODUCTS)
    assert len(good) == 2
    assert isinstance(bad, BadRecord)
    assert bad.key is None
    assert json.loads(bad.raw)["Product ID"] == "NEW-1"


@pytest.mark.parametrize(
    ("body", "error", "says", "hint"),
    [
        (csv(STOCKED, "BOLT-1,1,0,0"), DataError, "leaves out 1 where the account has 2 products", "filters"),
        (csv(STOCKED), DataError, "is empty where the account has 2 products", "filters"),
        ([], DataError, "is empty", "filters"),
        (csv(STOCKED, "A,1,0,0", "B,1,0,0"), ConfigurationError, "none of its 2 products", "right report"),
        (csv("Name,Notes", "A,B"), ConfigurationError, "no column Product ID; its columns are Name, Notes", "add the"),
        ([{"Name": "A"}], ConfigurationError, "no column Product ID; its columns are Name", "add the column"),
        (csv(STOCKED, "BOLT-1,1,0,0", "BOLT-1,2,0,0"), ConfigurationError, "several rows for Product ID", "locations"),
        (csv(STOCKED, "BOLT-1,1,0"), DataError, "line 2 has 3 values for 4 columns", "repair"),
        (csv(STOCKED, '"BOLT-1"x,1,0,0'), DataError, "line 2", "repair"),
        (csv(STOCKED, '"BOLT-1,1,0,0'), UnusableBodyError, "quotes", "repair"),
        (b"\xff\xfe" + "Product ID,QoH".encode("utf-16-le") + b"\x00", UnusableBodyError, "cut off", "repair"),
        (csv("Product ID,Käfig").decode().encode("latin-1"), DataError, "not utf-8", "repair"),
        (b'{"success": false, "errorMessage": "x"}', UnusableBodyError, "JSON where CSV was due", "repair"),
        (b"PK\x03\x04....", DataError, "Excel", "repair"),
        ([["Product ID"], ["BOLT-1"]], DataError, "no object", "jsonObject"),
        ([1], DataError, "no object", "jsonObject"),
    ],
    ids=[
        *("filtered", "header alone", "no rows", "another account", "another report", "another report of objects"),
        *("detailed", "short row", "broken quotes", "open quotes", "half a character", "latin-1", "error object"),
        *("workbook", "lists", "numbers"),
    ],
)
async def test_what_is_wrong_with_a_report_is_said(body: Any, error: type[HeadraceError], says: str, hint: str) -> None:
    with pytest.raises(error) as caught:
        await read("inventory", body, product=PRODUCTS, inventoryitem=STOCK)
    assert type(caught.value) is error
    assert says in caught.value.message
    assert hint in caught.value.hint


async def test_an_error_object_is_no_list_of_rows() -> None:
    client = FakeClient({"product/": PRODUCTS, f"{PATH}.json": {"errorMessage": "x"}})
    source = FinaleConnector(SystemClock()).open(config("inventory", "jsonObject"), client)
    with pytest.raises(UnusableBodyError, match="no list of rows"):
        [_ async for _ in source.read_all(ReadRequest("inventory", None))]


# suppliers

PARTIES = {
    "partyGroupUrl": ["/p/1", "/p/2", "/p/3"],
    "partyId": ["1", "2", "3"],
    "groupName": ["Bolt Works", None, "Buyer"],
    "description": [None, "Kits Ltd", None],
    "roleTypeIdList": [["SUPPLIER"], ["CUSTOMER", "SUPPLIER"], ["CUSTOMER"]],
}


@pytest.mark.parametrize("key", ["Supplier ID", "Name"])
async def test_suppliers_are_known_by_id_or_name_and_others_are_left_out(key: str) -> None:
    by_id = key == "Supplier ID"
    rows = [("1", "Bolt Works"), ("2", "Kits Ltd"), ("3", "Buyer")]
    body = csv(f"{key},Notes", *(f"{number if by_id else name},note {number}" for number, name in rows))
    found = await read("vendors", body, partygroup=PARTIES)
    assert [(row["partyGroupUrl"], row["Notes"]) for row in found] == [("/p/1", "note 1"), ("/p/2", "note 2")]


async def test_two_suppliers_of_one_name_need_the_column_of_their_ids() -> None:
    twins = PARTIES | {"groupName": ["Bolt Works", "Bolt Works", "Buyer"]}
    with pytest.raises(ConfigurationError, match="two suppliers are named") as caught:
        await read("vendors", csv("Name,Notes", "Bolt Works,x"), partygroup=twins)
    assert "add the column Supplier ID" in caught.value.hint
    body = csv("Name,Vendor ID", "Bolt Works,1", "Bolt Works,2")
    assert len(await read("vendors", body, partygroup=twins)) == 2


# numbers, addresses


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.50", "1234.50"), ("-1,234", "-1234"), ("0.221", "0.221"), ("12", "12"), (" 7 ", "7"),
        (Decimal("1.10"), "1.10"),
        ("1,23", None), ("1.234,5", None), ("12,345,6", None), ("1_000", None), ("NaN", None),
        ("Various", None), (True, None),
    ],
)  # fmt: skip
def test_formatted_numbers_are_exact_or_none(text: Any, number: str | None) -> None:
    found = parsed(text)
    assert (None if found is None else str(found)) == number


def test_a_blank_is_no_number_and_nothing_else_passes_for_one() -> None:
    assert [formatted_number(value, "x") for value in (None, "", " -- ", "--")] == [None] * 4
    with pytest.raises(DataError, match="x is no number: '1,23'"):
        formatted_number("1,23", "x")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (address(origin="https://evil.example"), "is not on the server of the account"),
        (address(origin="http://app.finaleinventory.com"), "is not on the server of the account"),
        (address(origin="https://app.finaleinventory.com:444"), "is not on the server of the account"),
        (address(path=PATH.replace("acme", "other")), "a report of another account than acme"),
        (address(path=PATH.replace("acme", "Acme")), "a report of another account than acme"),
        (address(path="/acme/../other/doc/report/pivotTable/1/Report"), "another account|no address of a report"),
        (address(path="/acme/api/product/Report"), "no address of a report"),
        (address(path="/acme/doc/report/pivotTable/now/Report"), "no address of a report"),
        (address(query="data=product"), "format=csv or format=jsonObject"),
        (address(query="format=pdf"), "format=csv or format=jsonObject"),
        (address(query="format=csv&format=pdf"), "format=csv or format=jsonObject"),
        (address(query="format=json"), "format=csv or format=jsonObject"),
        (address(query="format=jsonObject"), "with format=jsonObject it is Report.json"),
        (address(query="format=csv&api_key=x"), "carries a secret by its name"),
        (address(query="format=csv&token=x"), "carries a secret by its name"),
        (address(origin="https://key:secret@app.finaleinventory.com"), "user name or password"),
    ],
)
def test_an_address_that_is_no_report_of_the_account_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SPEC.config.validate_python({"account": "acme", "report_urls": {"inventory": url}})


def test_a_report_is_read_whole_and_the_rest_as_before() -> None:
    by_report = config("purchase_orders")
    assert SPEC.supports_incremental({"account": "acme"}, "purchase_orders")
    assert not SPEC.supports_incremental(by_report, "purchase_orders")
    source = FinaleConnector(SystemClock()).open(by_report, FakeClient({}))
    assert [source.shape(entity) for entity in ("inventory", "vendors", "purchase_orders")] == ["spool"] * 3
    assert source.calls_per_page("purchase_orders") == {"collection": 5, "get": 5, "report": 2}
    assert SPEC.config.validate_python({"account": "acme", "report_urls": {}}).report_urls == {}
    assert SPEC.config.validate_python({"account": "acme", "report_urls": {"vendors": address()}})
