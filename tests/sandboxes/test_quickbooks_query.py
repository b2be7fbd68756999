"""The query language of the QuickBooks sandbox."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from quickbooks_rig import COMPANY, UNLIMITED, Rig, rig

from sandboxes.quickbooks.shop import Size


@pytest.fixture
async def shop() -> AsyncIterator[Rig]:
    async with rig() as found:
        yield found


def ids(answer: dict[str, Any], entity: str) -> list[str]:
    return [record["Id"] for record in answer.get(entity, [])]


async def test_pages_hold_100_by_default_and_1000_at_most_and_meet_each_record_once() -> None:
    async with rig(Size(items=1250, vendors=5, orders=0)) as shop:
        assert len((await shop.query("SELECT * FROM Item"))["Item"]) == 100
        everything = "SELECT * FROM Item WHERE Active IN (true, false) ORDERBY Id"
        first = await shop.query(f"{everything} STARTPOSITION 1 MAXRESULTS 5000")
        assert (first["startPosition"], first["maxResults"], first["totalCount"]) == (1, 1000, 1250)
        second = await shop.query(f"{everything} STARTPOSITION 1001 MAXRESULTS 1000")
        assert ids(first, "Item") + ids(second, "Item") == [str(number) for number in range(1, 1251)]
        assert await shop.query(f"{everything} STARTPOSITION 1251") == {}
        assert first["Item"] + second["Item"] == shop.state.records("Item")


async def test_inactive_records_of_lists_are_hidden_unless_asked_for(shop: Rig) -> None:
    inactive = [record["Id"] for record in shop.state.records("Item") if not record["Active"]]
    assert inactive == ["25"]
    assert ids(await shop.query("select * from Item where Id = '25'"), "Item") == []
    assert ids(await shop.query("select * from Item where Active = false"), "Item") == ["25"]
    assert await shop.query("SELECT COUNT(*) FROM Item") == {"totalCount": 39}
    assert await shop.query("SELECT count(*) FROM Item WHERE Active IN (true, false)") == {"totalCount": 40}
    assert await shop.query("select count(*) from PurchaseOrder") == {"totalCount": 25}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Id = '7'", ["7"]),
        ("Id = 7", ["7"]),
        ("Id IN ('9', '10', '8')", ["8", "9", "10"]),
        ("Id > '9' AND Id <= '12'", ["10", "11", "12"]),  # a number, though it is sent as text
        ("Sku LIKE 'SKU-00000%' and Id < '4'", ["1", "2", "3"]),
        ("Name = 'Fancy\\'s \\\\ 100%'", ["41"]),
        ("Name LIKE '%cy\\'s%'", ["41"]),
        ("Sku = 'none'", []),
    ],
)
async def test_conditions(shop: Rig, where: str, expected: list[str]) -> None:
    shop.state.create("Item", {"Name": "Fancy's \\ 100%"})
    for number in range(1, 5):
        shop.state.change("Item", str(number), {"Sku": f"SKU-00000{number}"})
    assert ids(await shop.query(f"Select * From Item Where {where} OrderBy Id"), "Item") == expected


async def test_times_compare_across_zones_to_the_second(shop: Rig) -> None:
    shop.state.clock.advance(1800)
    shop.state.deactivate("Item", "3")
    for text, found in [
        ("> '2026-05-20T10:33:10-07:00'", ["3"]),
        (">= '2026-05-20T17:33:11Z'", ["3"]),
        (">= '2026-05-20T19:33:11+02:00'", ["3"]),
        ("> '2026-05-20T17:33:11Z'", []),
        ("= '2026-05-20T10:33:11'", ["3"]),  # without a zone it is the vendor's own
    ]:
        for name in ("MetaData.LastUpdatedTime", "Metadata.LastUpdatedTime"):
            where = f"Active IN (true, false) AND {name} {text}"
            assert ids(await shop.query(f"SELECT * FROM Item WHERE {where}"), "Item") == found


async def test_order_goes_by_several_fields_and_numbers(shop: Rig) -> None:
    orders = shop.state.records("PurchaseOrder")
    found = await shop.query("SELECT * FROM PurchaseOrder ORDERBY TotalAmt DESC, Id MAXRESULTS 1000")
    assert ids(found, "PurchaseOrder") == [
        order["Id"] for order in sorted(orders, key=lambda order: (-order["TotalAmt"], int(order["Id"])))
    ]
    both = await shop.query("SELECT * FROM PurchaseOrder ORDER BY POStatus ASC, TxnDate DESC")
    keys = [(order["POStatus"], order["TxnDate"]) for order in both["PurchaseOrder"]]
    assert [key[0] for key in keys] == sorted(key[0] for key in keys)
    opened = [key[1] for key in keys if key[0] == "Open"]
    assert opened == sorted(opened, reverse=True)
    assert len(set(opened)) > 3


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT FROM Item", "4000"),
        ("SELECT * Item", "4000"),
        ("UPDATE Item", "4000"),
        ("SELECT * FROM Item WHERE", "4000"),
        ("SELECT * FROM Item WHERE Name = 'a' OR Name = 'b'", "4000"),
        ("SELECT * FROM Item WHERE NOT Name = 'a'", "4001"),
        ("SELECT * FROM Item WHERE Name != 'a'", "4000"),
        ("SELECT * FROM Item WHERE Name = 'it''s'", "4000"),
        ("SELECT * FROM Item WHERE Name = 'open", "4000"),
        ("SELECT * FROM Item WHERE Name IN ()", "4000"),
        ("SELECT * FROM Item GROUP BY Name", "4000"),
        ("SELECT * FROM Item MAXRESULTS 5 STARTPOSITION 1", "4000"),
        ("SELECT * FROM Item; DROP", "4000"),
        ("SELECT * FROM item", "4001"),
        ("SELECT * FROM Nothing", "4001"),
        ("SELECT * FROM Item WHERE QtyOnHand > '5'", "4001"),
        ("SELECT * FROM Item ORDERBY Description", "4001"),
        ("SELECT * FROM Item WHERE name = 'a'", "4001"),
        ("SELECT * FROM Item WHERE Active = 'yes'", "4001"),
        ("SELECT * FROM Item WHERE MetaData.LastUpdatedTime > 'yesterday'", "4001"),
        ("SELECT * FROM Item WHERE MetaData.LastUpdatedTime > '2026-05-01T00:00:00 07:00'", "4001"),
        ("SELECT * FROM Vendor WHERE Balance LIKE '1%'", "4001"),
        ("SELECT * FROM Item STARTPOSITION 0", "4001"),
        ("SELECT * FROM Item MAXRESULTS 0", "4001"),
        (" ", "2020"),
    ],
)
async def test_what_is_no_statement_is_refused(shop: Rig, statement: str, code: str) -> None:
    assert await shop.refused("POST", "/query", statement) == code
    assert await shop.refused("GET", "/query", query=statement) == code


async def test_column_lists_are_a_switch(shop: Rig) -> None:
    whole = await shop.query("SELECT *, Sku FROM Item MAXRESULTS 1")
    assert whole["Item"] == shop.state.records("Item")[:1]
    some = await shop.query("SELECT Sku, MetaData.CreateTime FROM Item MAXRESULTS 1")
    assert set(some["Item"][0]) == {"Id", "Sku", "MetaData", "domain", "sparse"}
    shop.state.switches = msgspec.structs.replace(UNLIMITED, column_lists="refuse", total_count=False)
    assert await shop.refused("POST", "/query", "SELECT *, Sku FROM Item") == "4000"
    assert "totalCount" not in await shop.query("SELECT * FROM Item")


async def test_numbers_keep_their_digits_and_ids_are_text(shop: Rig) -> None:
    shop.state.change("Item", "1", {"UnitPrice": Decimal("0.10"), "QtyOnHand": Decimal("-12345678901234.5670")})
    async with shop.session.get(
        f"{COMPANY}/query", params={"query": "SELECT * FROM Item WHERE Id='1'"}, headers=shop.headers()
    ) as response:
        text = await response.text()
    assert '"UnitPrice":0.10,' in text
    assert '"QtyOnHand":-12345678901234.5670,' in text
    assert '"Id":"1","SyncToken":"1"' in text
    assert '"LastUpdatedTime":"2026-05-20T10:03:11-07:00"' in text
    assert text.endswith('"time":"2026-05-20T10:03:11.000-07:00"}')
    assert response.headers["intuit_tid"]


async def test_who_does_not_ask_for_json_gets_xml(shop: Rig) -> None:
    headers = {"Authorization": shop.headers()["Authorization"]}
    async with shop.session.get(f"{COMPANY}/purchaseorder/1", headers=headers) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (200, "application/xml")
    vendor = shop.state.records("PurchaseOrder")[0]["VendorRef"]
    assert f">{vendor['value']}</VendorRef>" in text
    assert '<PurchaseOrder domain="QBO" sparse="false">' in text
    async with shop.session.get(f"{COMPANY}/purchaseorder/999", headers=headers) as response:
        assert (response.status, response.content_type) == (400, "application/xml")
        assert '<Error code="610" element="Id">' in await response.text()
