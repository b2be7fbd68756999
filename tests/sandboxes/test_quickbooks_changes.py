"""Change data capture of the QuickBooks sandbox, and the edits that tests make."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from quickbooks_rig import UNLIMITED, Rig, rig

from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState

SINCE = "2026-05-20T10:03:11-07:00"


@pytest.fixture
async def shop() -> AsyncIterator[Rig]:
    async with rig() as found:
        yield found


async def cdc(shop: Rig, entities: str, since: str = SINCE) -> list[dict[str, Any]]:
    status, body = await shop.call("GET", "/cdc", entities=entities, changedSince=since)
    assert status == 200, body
    found: list[dict[str, Any]] = body["CDCResponse"][0]["QueryResponse"]
    return found


async def test_changes_come_whole_and_deletions_as_stubs(shop: Rig) -> None:
    assert await cdc(shop, "Item,Vendor") == [{}, {}]
    shop.state.change("Item", "7", {"Sku": "new"})
    shop.state.deactivate("Item", "8")
    shop.state.delete("PurchaseOrder", "3")
    items, vendors, orders = await cdc(shop, "Item,Vendor,PurchaseOrder")
    assert items["Item"] == [record for record in shop.state.records("Item") if record["Id"] in ("7", "8")]
    assert (items["startPosition"], items["maxResults"]) == (1, 2)
    assert vendors == {}
    assert orders["PurchaseOrder"] == [
        {"domain": "QBO", "status": "Deleted", "Id": "3", "MetaData": {"LastUpdatedTime": SINCE}}
    ]
    assert await cdc(shop, "Item", "2026-05-20T17:03:12Z") == [{}]


async def test_the_cap_is_shared_by_all_entities() -> None:
    async with rig(Size(items=700, vendors=400, orders=10)) as shop:
        for entity in ("Item", "Vendor", "PurchaseOrder"):
            shop.state.change_percent(entity, 100)  # type: ignore[arg-type]
        found = await cdc(shop, "Item,Vendor,PurchaseOrder")
        assert [answer.get("maxResults", 0) for answer in found] == [700, 300, 0]
        assert [answer.get("maxResults", 0) for answer in await cdc(shop, "Vendor,PurchaseOrder")] == [400, 10]


async def test_the_window_is_30_days(shop: Rig) -> None:
    assert await cdc(shop, "Item", "2026-04-20T17:03:11Z") == [{}]
    code = await shop.refused("GET", "/cdc", entities="Item", changedSince="2026-04-20T17:03:10Z")
    assert code == "500"
    shop.state.switches = msgspec.structs.replace(UNLIMITED, cdc_too_old_code="2010")
    assert await shop.refused("GET", "/cdc", entities="Item", changedSince="2026-04-20") == "2010"


async def test_bad_questions_are_refused(shop: Rig) -> None:
    assert await shop.refused("GET", "/cdc", entities="Item") == "2020"
    assert await shop.refused("GET", "/cdc", changedSince=SINCE) == "2020"
    assert await shop.refused("GET", "/cdc", entities="Item,TaxRate", changedSince=SINCE) == "500"
    assert await shop.refused("GET", "/cdc", entities="Item", changedSince="now") == "2010"


async def test_edits_move_versions_and_times(shop: Rig) -> None:
    state = shop.state
    state.clock.advance(60)
    state.change("Item", "1", {"Sku": None, "UnitPrice": Decimal("1.10")})
    record = state.records("Item")[0]
    assert "Sku" not in record
    assert (record["SyncToken"], str(record["UnitPrice"])) == ("1", "1.10")
    assert record["MetaData"]["LastUpdatedTime"] == "2026-05-20T10:04:11-07:00"
    assert record["MetaData"]["CreateTime"] < record["MetaData"]["LastUpdatedTime"]
    assert state.create("Vendor", {"DisplayName": "New"}) == "9"
    assert len(state.change_percent("PurchaseOrder", 20)) == 5
    with pytest.raises(KeyError):
        state.change("Item", "999", {})
    state.reset()
    assert len(state.records("Vendor")) == 8


async def test_a_merge_turns_references_and_leaves_one(shop: Rig) -> None:
    state = shop.state
    orders = {o["Id"] for o in state.records("PurchaseOrder") if o["VendorRef"]["value"] == "2"}
    items = {i["Id"] for i in state.records("Item") if i.get("PrefVendorRef", {}).get("value") == "2"}
    assert orders
    assert items
    state.merge("Vendor", "1", "2")
    moved = [o for o in state.records("PurchaseOrder") if o["Id"] in orders]
    assert {o["VendorRef"]["value"] for o in moved} == {"1"}
    assert {o["SyncToken"] for o in moved} == {"1"}
    assert {i["PrefVendorRef"]["value"] for i in state.records("Item") if i["Id"] in items} == {"1"}
    assert state.records("Vendor")[1]["Active"] is False
    with pytest.raises(ValueError, match="two different"):
        state.merge("PurchaseOrder", "1", "2")


async def test_goods_that_arrive_show_in_the_order_and_in_the_stock(shop: Rig) -> None:
    state = shop.state
    stock = {i["Id"]: i["QtyOnHand"] for i in state.records("Item") if "QtyOnHand" in i}
    order, line = next(
        (order, line)
        for order in state.records("PurchaseOrder")
        for line in order["Line"]
        if line.get("ItemBasedExpenseLineDetail", {}).get("ItemRef", {}).get("value") in stock
    )
    item = line["ItemBasedExpenseLineDetail"]["ItemRef"]["value"]
    state.receive(order["Id"], line["Id"], Decimal("2.5"))
    after = next(o for o in state.records("PurchaseOrder") if o["Id"] == order["Id"])
    assert next(o for o in after["Line"] if o["Id"] == line["Id"])["Received"] == line["Received"] + Decimal("2.5")
    assert next(i for i in state.records("Item") if i["Id"] == item)["QtyOnHand"] == stock[item] + Decimal("2.5")


def test_a_made_company_is_the_same_for_the_same_seed_and_has_oddities() -> None:
    size = Size(items=600, vendors=60, orders=300)
    state = QuickBooksState(size, seed=4)
    items, orders = state.records("Item"), state.records("PurchaseOrder")
    assert items == QuickBooksState(size, seed=4).records("Item")
    assert items != QuickBooksState(size, seed=5).records("Item")
    assert (len(items), len(state.records("Vendor")), len(orders)) == (600, 60, 300)
    assert {i["Type"] for i in items} == {"Inventory", "NonInventory", "Service", "Category"}
    assert any(i.get("QtyOnHand", 0) < 0 for i in items)
    assert any("Sku" not in i for i in items)
    assert {o["POStatus"] for o in orders} == {"Open", "Closed"}
    assert any("DocNumber" not in o for o in orders)
    lines = [line for o in orders for line in o["Line"]]
    assert {line["DetailType"] for line in lines} == {"ItemBasedExpenseLineDetail", "AccountBasedExpenseLineDetail"}
    assert any("ItemRef" not in line.get("ItemBasedExpenseLineDetail", {"ItemRef": 1}) for line in lines)
    assert all(o["TotalAmt"] == sum(line["Amount"] for line in o["Line"]) for o in orders)
