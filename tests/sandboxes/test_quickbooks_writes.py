"""Create, update, delete, requestid and batch of the QuickBooks sandbox."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from quickbooks_rig import UNLIMITED, Rig, rig

from sandboxes.quickbooks.switches import Switches

INVENTORY: dict[str, Any] = {
    "Name": "Hex bolt M6",
    "Type": "Inventory",
    "TrackQtyOnHand": True,
    "QtyOnHand": 120,
    "InvStartDate": "2026-01-01",
    "IncomeAccountRef": {"value": "1"},
    "ExpenseAccountRef": {"value": "2"},
    "AssetAccountRef": {"value": "3"},
}
LINE: dict[str, Any] = {
    "Amount": 105,
    "DetailType": "ItemBasedExpenseLineDetail",
    "ItemBasedExpenseLineDetail": {"ItemRef": {"value": "1"}, "Qty": 500, "UnitPrice": 0.21},
}
FREIGHT: dict[str, Any] = {
    "Amount": 12.5,
    "DetailType": "AccountBasedExpenseLineDetail",
    "AccountBasedExpenseLineDetail": {"AccountRef": {"value": "5"}},
}
ORDER: dict[str, Any] = {"VendorRef": {"value": "1"}, "APAccountRef": {"value": "4"}, "Line": [LINE, FREIGHT]}


@pytest.fixture
async def shop() -> AsyncIterator[Rig]:
    async with rig() as found:
        yield found


def switch(shop: Rig, **values: Any) -> None:
    shop.state.switches = msgspec.structs.replace(UNLIMITED, **values)


async def test_create_read_and_the_names_of_references(shop: Rig) -> None:
    made = await shop.save("Item", {**INVENTORY, "PrefVendorRef": {"value": "1", "name": "wrong"}})
    assert (made["Id"], made["SyncToken"], made["sparse"], made["domain"]) == ("41", "0", False, "QBO")
    vendor = shop.state.records("Vendor")[0]["DisplayName"]
    assert made["PrefVendorRef"] == {"value": "1", "name": vendor}
    assert made["AssetAccountRef"]["name"] == "Inventory Asset"
    assert await shop.call("GET", "/item/41") == (200, {"Item": made, "time": "2026-05-20T10:03:11.000-07:00"})
    shop.state.change("Vendor", "1", {"DisplayName": "Bolt Works"})
    assert (await shop.call("GET", "/item/41"))[1]["Item"]["PrefVendorRef"]["name"] == "Bolt Works"
    assert await shop.refused("GET", "/item/999") == "610"


async def test_an_order_adds_up_and_gets_a_number(shop: Rig) -> None:
    made = await shop.save("PurchaseOrder", ORDER)
    assert made["TotalAmt"] == Decimal("117.5")
    assert (made["POStatus"], made["EmailStatus"], made["LinkedTxn"], made["DocNumber"]) == (
        "Open",
        "NotSet",
        [],
        "1026",
    )
    assert [(line["Id"], line["LineNum"]) for line in made["Line"]] == [("1", 1), ("2", 2)]
    assert made["Line"][0]["ItemBasedExpenseLineDetail"]["ItemRef"]["name"] == shop.state.records("Item")[0]["Name"]
    switch(shop, auto_doc_number=False)
    assert "DocNumber" not in await shop.save("PurchaseOrder", ORDER)


async def test_a_sparse_update_keeps_and_a_full_update_clears(shop: Rig) -> None:
    made = await shop.save("Item", {**INVENTORY, "Sku": "BOLT-1", "Description": "M6 x 40", "ReorderPoint": 5})
    sparse = {"Id": made["Id"], "SyncToken": "0", "sparse": True, "PurchaseCost": "0.22", "ReorderPoint": None}
    after = await shop.save("Item", sparse)
    assert (after["SyncToken"], after["Sku"], after["PurchaseCost"]) == ("1", "BOLT-1", Decimal("0.22"))
    assert after["ReorderPoint"] == 5  # a sparse update cannot clear it
    full = await shop.save("Item", {**INVENTORY, "Id": made["Id"], "SyncToken": "1", "Description": ""})
    assert not {"Sku", "Description", "PurchaseCost", "ReorderPoint"} & full.keys()
    assert full["QtyOnHand"] == 120
    # a list of lines replaces all lines, in a sparse update too
    order = await shop.save("PurchaseOrder", ORDER)
    change = {"Id": order["Id"], "SyncToken": "0", "sparse": True, "Line": [FREIGHT]}
    after = await shop.save("PurchaseOrder", change)
    assert (len(after["Line"]), after["TotalAmt"], after["DocNumber"]) == (1, Decimal("12.5"), order["DocNumber"])


async def test_a_stale_version_changes_nothing(shop: Rig) -> None:
    change = {"Id": "1", "SyncToken": "0", "sparse": True, "Sku": "first"}
    await shop.save("Item", change)
    assert await shop.refused("POST", "/item", {**change, "Sku": "second"}) == "5010"
    assert await shop.refused("POST", "/item", {**change, "SyncToken": None}) == "2020"
    assert shop.state.records("Item")[0]["Sku"] == "first"


async def test_quantities_change_through_transactions_only(shop: Rig) -> None:
    change = {"Id": "1", "SyncToken": "0", "sparse": True, "QtyOnHand": 1}
    before = shop.state.records("Item")[0]["QtyOnHand"]
    assert (await shop.save("Item", change))["QtyOnHand"] == before
    switch(shop, quantity_update="fault")
    assert await shop.refused("POST", "/item", {**change, "SyncToken": "1"}) == "6000"


async def test_delete_is_for_transactions(shop: Rig) -> None:
    assert await shop.refused("POST", "/purchaseorder", {"Id": "1", "SyncToken": "7"}, operation="delete") == "5010"
    status, answer = await shop.call("POST", "/purchaseorder", {"Id": "1", "SyncToken": "0"}, operation="delete")
    assert status == 200
    assert answer["PurchaseOrder"] == {"status": "Deleted", "domain": "QBO", "Id": "1"}
    assert await shop.refused("POST", "/purchaseorder", {"Id": "1", "SyncToken": "0"}, operation="delete") == "610"
    assert await shop.refused("GET", "/purchaseorder/1") == "610"
    assert await shop.query("SELECT * FROM PurchaseOrder WHERE Id = '1'") == {}
    assert await shop.refused("POST", "/item", {"Id": "1", "SyncToken": "0"}, operation="delete") == "500"


@pytest.mark.parametrize(
    ("entity", "body", "code"),
    [
        ("item", {"Nam": "x"}, "2010"),
        ("item", {"Name": 5}, "2010"),
        ("item", {}, "2020"),
        ("item", {"Name": "a:b"}, "6000"),
        ("item", {"Name": "x" * 101}, "6000"),
        ("item", {"Name": "x", "Type": "Odd"}, "2170"),
        ("item", {"Name": "x", "UnitPrice": "NaN"}, "2010"),
        ("item", {"Name": "x", "UnitPrice": "1e99"}, "2010"),
        ("item", {"Name": "x", "Taxable": "perhaps"}, "2010"),
        ("item", {"Name": "x", "PrefVendorRef": {"value": "999"}}, "2500"),
        ("item", {**INVENTORY, "AssetAccountRef": None}, "2020"),
        ("item", {**INVENTORY, "InvStartDate": "soon"}, "2010"),
        ("item", [], "2010"),
        ("item", {"Name": "x", "Description": [[[]]]}, "2010"),
        ("vendor", {"CompanyName": "x"}, "2020"),
        ("vendor", {"DisplayName": "cool cars"}, "6240"),
        ("vendor", {"DisplayName": "Storekeeper"}, "6240"),
        ("purchaseorder", {**ORDER, "VendorRef": None}, "2020"),
        ("purchaseorder", {**ORDER, "Line": []}, "2020"),
        ("purchaseorder", {**ORDER, "Line": [{**LINE, "Amount": 104}]}, "6070"),
        ("purchaseorder", {**ORDER, "Line": [{**LINE, "DetailType": "Odd"}]}, "2170"),
        ("purchaseorder", {**ORDER, "Line": [{**LINE, "Odd": 1}]}, "2010"),
        ("purchaseorder", {**ORDER, "Line": [5]}, "2010"),
        ("purchaseorder", {**ORDER, "POStatus": "Draft"}, "2170"),
        ("purchaseorder", {**ORDER, "DocNumber": "1001"}, "6140"),
        ("purchaseorder", {**ORDER, "DocNumber": "x" * 22}, "6000"),
        ("companyinfo", {"CompanyName": "x"}, "500"),
    ],
)
async def test_what_breaks_a_rule_is_refused_with_its_code(shop: Rig, entity: str, body: Any, code: str) -> None:
    count = len(shop.state.records("Item"))
    assert await shop.refused("POST", f"/{entity}", body) == code
    assert len(shop.state.records("Item")) == count


async def test_rules_that_are_switches(shop: Rig) -> None:
    switch(shop, duplicate_doc_number="allow")
    assert (await shop.save("PurchaseOrder", {**ORDER, "DocNumber": "1001"}))["DocNumber"] == "1001"
    switch(shop, books_closed_until=date(2026, 5, 20))
    assert await shop.refused("POST", "/purchaseorder", {**ORDER, "TxnDate": "2026-05-20"}) == "6210"
    switch(shop, sparse_needs_required=True)
    assert await shop.refused("POST", "/item", {"Id": "1", "SyncToken": "0", "sparse": True, "Sku": "x"}) == "2020"
    shop.state.deactivate("Item", "1")
    assert await shop.refused("POST", "/purchaseorder", ORDER) == "610"
    assert (await shop.call("GET", "/item/1"))[1]["Item"]["Active"] is False
    switch(shop, read_inactive="610", received=False)
    assert await shop.refused("GET", "/item/1") == "610"
    assert not any("Received" in line for order in shop.state.records("PurchaseOrder") for line in order["Line"])
    switch(shop)
    assert any("Received" in line for order in shop.state.records("PurchaseOrder") for line in order["Line"])


async def test_a_repeated_requestid_does_nothing_and_gets_the_first_reply(shop: Rig) -> None:
    first = await shop.save("Item", {"Name": "once"}, requestid="r-1")
    shop.state.change("Item", first["Id"], {"Sku": "later"})
    assert await shop.save("Item", {"Name": "once"}, requestid="r-1") == first
    assert len(shop.state.records("Item")) == 41
    assert await shop.refused("POST", "/item", {"Name": "other"}, requestid="r-1") == "600"
    assert await shop.refused("POST", "/item", {"Name": "other"}, requestid="r" * 51) == "600"
    switch(shop, requestid_reuse="replay")
    assert await shop.save("Item", {"Name": "other"}, requestid="r-1") == first
    # what failed may be tried again under its id
    assert await shop.refused("POST", "/item", {"Name": "once"}, requestid="r-2") == "6240"
    shop.state.change("Item", first["Id"], {"Name": "renamed"})
    assert (await shop.save("Item", {"Name": "once"}, requestid="r-2"))["Id"] == "42"


async def test_a_batch_answers_each_part_by_itself(shop: Rig) -> None:
    parts = [
        {"bId": "a", "operation": "update", "Item": {"Id": "1", "SyncToken": "0", "sparse": True, "Sku": "B"}},
        {"bId": "b", "operation": "update", "Item": {"Id": "1", "SyncToken": "0", "sparse": True, "Sku": "C"}},
        {"bId": "c", "Query": "SELECT * FROM Vendor MAXRESULTS 2"},
        {"bId": "d", "operation": "create", "Vendor": {"DisplayName": "New one"}},
        {"bId": "e", "operation": "delete", "PurchaseOrder": {"Id": "1", "SyncToken": "0"}},
        {"bId": "f", "operation": "odd", "Item": {}},
        {"bId": "g"},
        {"Query": "SELECT * FROM Item"},
    ]
    status, body = await shop.call("POST", "/batch", {"BatchItemRequest": parts})
    assert status == 200
    answers = body["BatchItemResponse"]
    assert [answer.get("bId") for answer in answers] == ["a", "b", "c", "d", "e", "f", "g", None]
    assert answers[0]["Item"]["Sku"] == "B"
    assert answers[2]["QueryResponse"]["maxResults"] == 2
    assert answers[3]["Vendor"]["Id"] == "9"
    assert answers[4]["PurchaseOrder"]["status"] == "Deleted"
    codes = [answer["Fault"]["Error"][0]["code"] for answer in answers if "Fault" in answer]
    assert codes == ["5010", "2170", "2020", "2020"]
    assert await shop.refused("POST", "/batch", {"BatchItemRequest": parts * 4}) == "1040"
    assert await shop.refused("POST", "/batch", {}) == "2020"
    switch(shop, batch_max=50)
    assert (await shop.call("POST", "/batch", {"BatchItemRequest": parts * 4}))[0] == 200


async def test_a_validation_fault_can_come_with_200() -> None:
    async with rig(switches=Switches(faults_in_200=True)) as shop:
        status, body = await shop.call("GET", "/item/999")
        assert (status, body["Fault"]["Error"][0]["code"]) == (200, "610")
