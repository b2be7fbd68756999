"""What our tables must hold of a Finale shop, worked out from the sandbox's own state by plain Python."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from pipeline import Pipeline
from sandboxes.finale.state import FinaleState
from shared.contracts.ids import SourceId
from shared.contracts.records import FIELDS, LINE_FIELDS

ZONE = ZoneInfo("America/New_York")
Rows = dict[str, dict[str, Any]]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text[:10])


def _main_supplier(product: Mapping[str, Any]) -> dict[str, Any]:
    known = [entry for entry in product["supplierList"] if entry["supplierPartyUrl"]]
    main = [entry for entry in known if "MAIN" in entry["supplierPrefOrderId"]]
    return (main or known or [{}])[0]


def _guideline(product: Mapping[str, Any], field: str) -> Any:
    points = [
        entry[field]
        for entry in product["reorderGuidelineList"]
        if entry.get("reorderCalculationMethodId") != "##doNotReorder" and field in entry
    ]
    return sum(points) if points else None


def _locations(state: FinaleState) -> dict[str, str]:
    """By product, the names of the locations in which more than nothing of it is on hand."""
    facilities = {facility["facilityUrl"]: facility for facility in state.records("facility")}
    held: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    for key, quantity in state.store.on_hand.items():
        facility = facilities[key.facility_url]
        location = facilities.get(facility["parentFacilityUrl"], facility)
        held[key.product_url][location["facilityName"]] += quantity
    names = {product: sorted(name for name, sums in mine.items() if sums > 0) for product, mine in held.items()}
    return {product: ", ".join(mine) for product, mine in names.items() if mine}


def inventory(state: FinaleState) -> Rows:
    stock: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    for row in state.stock():
        for name in ("quantityOnHand", "quantityOnOrder", "quantityReserved"):
            stock[row["productUrl"]][name] += row[name]
    locations = _locations(state)
    found: Rows = {}
    for product in state.records("product"):
        main, url = _main_supplier(product), product["productUrl"]
        listed = [price for price in product["priceList"] if price["productPriceTypeId"] == "LIST_PRICE"]
        found[url] = {
            "sku": product["productId"],
            "name": product.get("internalName") or product["productId"],
            "description": product.get("longDescription"),
            "category": product.get("userCategory") or product.get("category"),
            "status": {"PRODUCT_ACTIVE": "active", "PRODUCT_INACTIVE": "inactive"}[product["statusId"]],
            "quantity_on_hand": stock[url]["quantityOnHand"],
            "quantity_on_order": stock[url]["quantityOnOrder"],
            "quantity_reserved": stock[url]["quantityReserved"],
            "reorder_point": _guideline(product, "reorderPoint"),
            "reorder_quantity": _guideline(product, "reorderQuantity"),
            "unit_cost": main.get("price", product.get("cost")),
            "unit_price": listed[0]["price"] if listed else None,
            "currency": listed[0]["currencyUomId"] if listed else main.get("currencyUomId"),
            "unit_of_measure": None,
            "barcode": product.get("universalProductCode"),
            "location": product.get("containerId") or locations.get(url),
            "preferred_vendor_id": main.get("supplierPartyUrl"),
            "source_updated_at": _moment(product["lastUpdatedDate"]),
        }
    return found


def vendors(state: FinaleState) -> Rows:
    found: Rows = {}
    for party in state.records("partygroup"):
        if "SUPPLIER" not in party["roleTypeIdList"]:
            continue
        contacts = {contact["contactMechPurposeTypeId"]: contact for contact in party["contactMechList"]}
        place = contacts.get("GENERAL_LOCATION")
        names = ("address1", "address2", "city", "stateProvinceGeoId", "postalCode", "countryGeoId")
        found[party["partyGroupUrl"]] = {
            "name": party["groupName"],
            "contact_name": None,
            "contact_email": contacts.get("WORK_EMAIL", {}).get("infoString"),
            "contact_phone": contacts.get("PHONE_WORK", {}).get("infoString"),
            "address": None if place is None else ", ".join(place[name] for name in names if name in place),
            "website": None,
            "payment_terms": party.get("settlementTermId"),
            "currency": None,
            "lead_time_days": party.get("leadTime"),
            "status": {"PARTY_ENABLED": "active", "PARTY_DISABLED": "inactive"}[party["statusId"]],
            "notes": None,
            "source_updated_at": _moment(party["lastUpdatedDate"]),
        }
    return found


_STATUS = {
    "ORDER_CREATED": "draft",
    "ORDER_LOCKED": "submitted",
    "ORDER_COMPLETED": "received",
    "ORDER_CANCELLED": "cancelled",
}


def purchase_orders(state: FinaleState) -> Rows:
    addresses = {party["partyId"]: party["partyGroupUrl"] for party in state.records("partygroup")}
    found: Rows = {}
    for order in state.records("order"):
        if order["orderTypeId"] != "PURCHASE_ORDER":
            continue
        delivered = [
            shipment
            for shipment in state.records("shipment")
            if shipment["primaryOrderUrl"] == order["orderUrl"] and shipment["statusId"] == "SHIPMENT_DELIVERED"
        ]
        arrived: dict[str, Any] = defaultdict(int)
        for item in (item for shipment in delivered for item in shipment["shipmentItemList"]):
            arrived[item["productUrl"]] += item["quantity"]
        ordered: dict[str, Any] = defaultdict(int)
        for line in order["orderItemList"]:
            ordered[line.get("productUrl", "")] += line["quantity"]
        whole = bool(arrived) and all(arrived[url] >= quantity for url, quantity in ordered.items())
        some = any(arrived.values())
        status = _STATUS[order["statusId"]]
        supplier = [role["partyId"] for role in order["orderRoleList"] if role["roleTypeId"] == "SUPPLIER"]
        total = order.get("orderItemListTotal")
        found[order["orderUrl"]] = {
            "order_number": order["orderId"],
            "vendor_id": addresses[supplier[0]] if supplier else None,
            "status": "partially_received" if status == "submitted" and some and not whole else status,
            "order_date": _day(order["orderDate"]),
            "expected_date": _day(order.get("dueDate") or order.get("receiveDate")),
            "received_date": _day(max((s["receiveDate"] for s in delivered), default=None))
            if status == "received" or whole
            else None,
            "currency": None,
            "subtotal": total,
            "tax": None,
            "shipping": None,
            "total": None if total is None else total + sum(part["amount"] for part in order["orderAdjustmentList"]),
            "notes": order.get("publicNotes"),
            "source_updated_at": _moment(order["lastUpdatedDate"]),
            "lines": _lines(order, arrived),
        }
    return found


def _lines(order: Mapping[str, Any], arrived: Mapping[str, Any]) -> list[dict[str, Any]]:
    left, lines = dict(arrived), []
    for at, line in enumerate(order["orderItemList"]):
        url = line.get("productUrl")
        others = [later.get("productUrl") for later in order["orderItemList"][at + 1 :]]
        mine = left.get(url, 0) if url not in others else min(left.get(url, 0), line["quantity"])
        if url is not None:
            left[url] = left.get(url, 0) - mine
        lines.append(
            {
                "line_number": at + 1,
                "item_id": url,
                "sku": line.get("productId"),
                "description": line.get("itemDescription"),
                "quantity": line["quantity"],
                "quantity_received": None if url is None else mine,
                "unit_cost": line["unitPrice"],
                "line_total": line["quantity"] * line["unitPrice"],
            }
        )
    return lines


TRUTHS = {"inventory": inventory, "vendors": vendors, "purchase_orders": purchase_orders}


async def stored(pipeline: Pipeline, entity: str, source: SourceId) -> Rows:
    """Our rows by external id, every field, with the lines of orders."""
    names = [field.name for field in FIELDS[entity]]
    found = {row["external_id"]: {name: row[name] for name in names} for row in await pipeline.rows(entity, source)}
    if entity == "purchase_orders":
        columns = [field.name for field in LINE_FIELDS]
        lines = await pipeline.admin.fetch(
            "select o.external_id as of_order, l.* from purchase_order_lines l "
            "join purchase_orders o on o.id = l.purchase_order_id where o.source_id = $1 "
            "order by o.external_id, l.line_number",
            source,
        )
        for row in found.values():
            row["lines"] = []
        for line in lines:
            if line["of_order"] in found:
                found[line["of_order"]]["lines"].append({name: line[name] for name in columns})
    return found


def assert_equal(entity: str, ours: Rows, truth: Rows) -> None:
    """Every row and every field; numbers by value."""
    assert ours.keys() == truth.keys(), f"{entity}: {sorted(ours.keys() ^ truth.keys())[:5]}"
    for key, due in truth.items():
        wrong = {name: (ours[key][name], value) for name, value in due.items() if not _same(ours[key][name], value)}
        assert not wrong, f"{entity} {key}: {wrong}"
        assert ours[key].keys() == due.keys()


def _same(mine: Any, due: Any) -> bool:
    if isinstance(due, list):
        return len(mine) == len(due) and all(
            a.keys() == b.keys() and all(_same(a[name], b[name]) for name in b) for a, b in zip(mine, due, strict=True)
        )
    if isinstance(due, int | Decimal) and mine is not None:
        return Decimal(mine) == Decimal(due)
    return bool(mine == due)
