"""The made shop of the Finale sandbox: its sizes, its edge cases, its seed."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from sandboxes.behaviour.server import Behaviour
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.store import RESOURCES

NOON = datetime(2026, 6, 17, 12, tzinfo=UTC)


def shop(size: Size | None = None, seed: int = 1) -> FinaleState:
    return FinaleState(filling(size, seed), behaviour=Behaviour(wall=lambda: NOON))


@pytest.fixture(scope="module")
def made() -> FinaleState:
    return shop()


def test_the_default_shop_has_some_of_everything(made: FinaleState) -> None:
    assert len(made.records("product")) == 500
    roles = [role for party in made.records("partygroup") for role in party["roleTypeIdList"]]
    assert (roles.count("SUPPLIER"), roles.count("CUSTOMER"), roles.count("CARRIER")) == (60, 23, 3)
    assert made.records("partygroup")[0]["partyId"] == "PRIMARY"
    orders = made.records("order")
    assert [sum(o["orderTypeId"] == kind for o in orders) for kind in ("PURCHASE_ORDER", "SALES_ORDER")] == [80, 20]
    states = {order["statusId"] for order in orders}
    assert states == {"ORDER_CREATED", "ORDER_LOCKED", "ORDER_COMPLETED", "ORDER_CANCELLED"}
    assert {s["statusId"] for s in made.records("shipment")} == {"SHIPMENT_DELIVERED", "SHIPMENT_INPUT"}
    assert len([f for f in made.records("facility") if f["parentFacilityUrl"] is None]) == 3
    quantities = ("quantityOnHand", "quantityOnOrder", "quantityReserved")
    kinds = [[bool(row[name]) for name in quantities] for row in made.stock()]
    assert all(sum(kind) == 1 for kind in kinds)  # exactly one is not 0
    assert [sum(column) > 3 for column in zip(*kinds, strict=True)] == [True] * 3


def test_orders_wait_are_partly_received_or_complete_without_a_receipt(made: FinaleState) -> None:
    received: dict[str, set[bool]] = {}
    for order in made.records("order"):
        if order["orderTypeId"] == "PURCHASE_ORDER":
            shipments = [made.store.get("shipment", url) for url in order["shipmentUrlList"]]
            came = any(shipment["statusId"] == "SHIPMENT_DELIVERED" for shipment in shipments)
            received.setdefault(order["statusId"], set()).add(came)
    assert received["ORDER_LOCKED"] == received["ORDER_COMPLETED"] == {True, False}
    assert received["ORDER_CREATED"] == received["ORDER_CANCELLED"] == {False}


def test_the_known_edge_cases_are_there(made: FinaleState) -> None:
    products = made.records("product")

    def every(name: str) -> list[dict[str, Any]]:
        return [entry for product in products for entry in product[name]]

    assert {product["statusId"] for product in products} == {"PRODUCT_ACTIVE", "PRODUCT_INACTIVE"}
    assert any("internalName" not in product for product in products)
    assert any("/" in product["productId"] for product in products)
    assert any(product["leadTime"] is None for product in products)
    prices = [entry.get("price") for entry in every("priceList")]
    assert 0 in prices
    assert None in prices
    assert {"", None} & {entry["supplierPartyUrl"] for entry in every("supplierList")} == {""}
    assert any("price" not in entry for entry in every("supplierList"))
    assert any("MAIN" not in p["supplierList"][0]["supplierPrefOrderId"] for p in products if p["supplierList"])
    assert any(not product["supplierList"] for product in products)
    guidelines = every("reorderGuidelineList")
    assert {"reorderCalculationMethodId": "##doNotReorder"} in guidelines
    assert Decimal("0.191624") in [entry.get("reorderPoint") for entry in guidelines]
    assert any(len(product["reorderGuidelineList"]) > 1 for product in products)
    assert {"attrName": "user_10001", "attrValue": "1.1993"} in every("userFieldDataList")
    assert every("productAssocList")
    assert any(isinstance(row["quantityOnHand"], Decimal) for row in made.stock())
    assert any(row["lotId"] for row in made.stock())
    assert any(row["normalizedPackingString"] for row in made.stock())
    lines = [line for order in made.records("order") for line in order["orderItemList"]]
    assert any("productUrl" not in line for line in lines)
    assert any("destinationFacilityUrl" not in order for order in made.records("order"))
    assert any(order["orderAdjustmentList"] for order in made.records("order"))


def test_no_float_anywhere_and_all_times_within_the_past_year_or_so(made: FinaleState) -> None:
    def values(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [one for part in value.values() for one in values(part)]
        return [one for part in value for one in values(part)] if isinstance(value, list) else [value]

    for resource in RESOURCES:
        for record in made.records(resource):
            assert not any(isinstance(value, float) for value in values(record))
            assert "2025-05-01" < record["createdDate"] <= record["lastUpdatedDate"] <= "2026-06-17T08:00:00"
    recent = [p for p in made.records("product") if p["lastUpdatedDate"] > "2026-05-18"]
    assert 20 < len(recent) < 60


def test_the_same_seed_makes_the_same_shop() -> None:
    small = Size(products=40)
    one, same, other = shop(small), shop(small), shop(small, seed=2)
    for resource in RESOURCES:
        assert one.records(resource) == same.records(resource)
    assert one.records("order") != other.records("order")
    one.add_product("EXTRA")
    one.edit_product("/acme/api/product/BOLT-1", cost=1)
    one.reset()
    assert one.records("product") == same.records("product")
    assert one.stock() == same.stock()


def test_it_grows_to_the_size_of_a_real_shop() -> None:
    state = shop(Size.of_products(7800))
    assert len(state.records("product")) == 7800
    assert len([p for p in state.records("partygroup") if "SUPPLIER" in p["roleTypeIdList"]]) == 300
    assert len([o for o in state.records("order") if o["orderTypeId"] == "PURCHASE_ORDER"]) == 2000
