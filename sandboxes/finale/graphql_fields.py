"""What each GraphQL type can tell: the kind of each field, and how it is read from the shop (Finale documentation,
GraphQL view connections; the fields that introspection has shown)."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from sandboxes.data.documents import encode
from sandboxes.finale.formatting import Kind
from sandboxes.finale.shipments import moved
from sandboxes.finale.state import FinaleState
from sandboxes.finale.stock import Totals, stock_rows, totals
from sandboxes.finale.store import Number, Record


class Reading:
    """The shop during one GraphQL request; what costs is worked out once, and only when asked for."""

    def __init__(self, state: FinaleState) -> None:
        self.state = state
        self.store = state.store

    @cached_property
    def totals(self) -> dict[str, Totals]:
        """The stock of each product address."""
        return totals(self.store)

    @cached_property
    def by_location(self) -> dict[tuple[str, str], Number]:
        """Units on hand of a product address in a location, its sublocations included."""
        facilities = self.store.rows["facility"]
        found: dict[tuple[str, str], Number] = {}
        for row in stock_rows(self.store):
            place = facilities.get(row["facilityUrl"], {})
            key = (row["productUrl"], place.get("parentFacilityUrl") or row["facilityUrl"])
            found[key] = found.get(key, 0) + row["quantityOnHand"]
        return found

    @cached_property
    def parties(self) -> dict[str, Record]:
        """Parties by id."""
        return {party["partyId"]: party for party in self.store.rows["partygroup"].values()}

    def received(self, order: Record) -> dict[str, Number]:
        """Units received for an order, by product address."""
        return moved(self.store, order)


class Field(NamedTuple):
    """One scalar."""

    kind: Kind
    get: Callable[[Reading, Record], Any]


def plain(name: str, kind: Kind = "text") -> Field:
    """A field that is in the record under that name."""
    return Field(kind, lambda _, record: record.get(name))


def supplier(reading: Reading, product: Record, index: int) -> Record | None:
    """The supplier in this place of a product's list, the main one first."""
    entries = sorted(product["supplierList"], key=lambda one: "MAIN" not in one.get("supplierPrefOrderId", ""))
    if index >= len(entries):
        return None
    return reading.store.rows["partygroup"].get(entries[index].get("supplierPartyUrl", ""))


def party_of(reading: Reading, order: Record, role: str) -> Record | None:
    """The party that has this role in an order."""
    ids = [one.get("partyId") for one in order["orderRoleList"] if one.get("roleTypeId") == role]
    return reading.parties.get(str(ids[0])) if ids else None


def order_total(order: Record) -> Number:
    """The lines' sum with the adjustments."""
    total: Number = order.get("orderItemListTotal", 0)
    for one in order["orderAdjustmentList"]:
        total += one.get("amount", 0)
    return total


def _stock(name: str) -> Callable[[Reading, Record], Any]:
    def get(reading: Reading, product: Record) -> Any:
        total = reading.totals.get(product["productUrl"])
        return None if total is None else getattr(total, name)

    return get


def _available(reading: Reading, product: Record) -> Any:
    total = reading.totals.get(product["productUrl"])
    return None if total is None else total.on_hand - total.reserved


def _price(_: Reading, product: Record) -> Any:
    listed = (one for one in product["priceList"] if one.get("productPriceTypeId") == "LIST_PRICE")
    first: Record = next(listed, {})
    return first.get("price")


def _guideline(name: str) -> Callable[[Reading, Record], Any]:
    def get(_: Reading, product: Record) -> Any:
        values = [one[name] for one in product["reorderGuidelineList"] if name in one]
        return sum(values) if values else None

    return get


def _bom(_: Reading, product: Record) -> Any:
    return encode(product["productAssocList"]).decode()  # a text that holds JSON, as Finale gives it


def _contact(kind: str) -> Callable[[Reading, Record], Any]:
    def get(_: Reading, party: Record) -> Any:
        contact = next((one for one in party["contactMechList"] if one.get("contactMechTypeId") == kind), None)
        if contact is None:
            return None
        address = (contact.get(name) for name in ("address1", "city", "stateProvinceGeoId", "postalCode"))
        return contact.get("infoString") or ", ".join(part for part in address if part)

    return get


def _line_amount(_: Reading, line: Record) -> Any:
    return line.get("quantity", 0) * line.get("unitPrice", 0)


def _units_received(_: Reading, line: Record) -> Any:
    return line.get("unitsReceived") or None


def _units(_: Reading, order: Record) -> Any:
    return sum(line.get("quantity", 0) for line in order["orderItemList"])


def _none(_: Reading, __: Record) -> None:
    """A value that the account never has: `--`, as `stockOnHand` often is for all products."""


SCALARS: Mapping[str, dict[str, Field]] = {
    "product": {
        "productId": plain("productId"),
        "productUrl": plain("productUrl"),
        "status": plain("statusId"),
        "description": plain("internalName"),
        "category": plain("userCategory"),
        "notes": plain("longDescription"),
        "itemCost": plain("cost", "number"),
        "itemPrice": Field("number", _price),
        "leadTime": plain("leadTime", "number"),
        "stdReorderLevel": Field("number", _guideline("reorderPoint")),
        "stdReorderQuantity": Field("number", _guideline("reorderQuantity")),
        "manufacturer": plain("manufacturerName"),
        "mfgProductId": plain("manufacturerProductId"),
        "universalProductCode": plain("universalProductCode"),
        "productBomList": Field("text", _bom),
        "recordLastUpdated": plain("lastUpdatedDate", "instant"),
        "stockOnHand": Field("number", _none),
        "stockAvailable": Field("number", _available),
        "stockOnOrder": Field("number", _stock("on_order")),
        "stockReserved": Field("number", _stock("reserved")),
        "unitsInStock": Field("number", _stock("on_hand")),
        "stockoutDays": Field("days", plain("leadTime").get),
        "demandQuantity": Field("number", _none),
        "consumptionQuantity": Field("number", _none),
        "reorderQuantityToOrder": Field("number", _guideline("reorderQuantity")),
        "potentialBuildQuantity": Field("number", _none),
        "safetyStockDays": Field("days", _none),
    },
    "party": {
        "partyId": plain("partyId"),
        "partyUrl": plain("partyGroupUrl"),
        "name": plain("groupName"),
        "role": Field("text", lambda _, party: ", ".join(party["roleTypeIdList"]) or None),
        "status": plain("statusId"),
        "contactName": Field("text", _none),
        "primaryEmailAddress": Field("text", _contact("EMAIL_ADDRESS")),
        "primaryPhoneNumber": Field("text", _contact("TELECOM_NUMBER")),
        "primaryAddress": Field("text", _contact("POSTAL_ADDRESS")),
        "leadTime": plain("leadTime", "number"),
        "defaultTerms": plain("settlementTermId"),
        "notes": plain("description"),
        "recordLastUpdated": plain("lastUpdatedDate", "instant"),
    },
    "order": {
        "orderId": plain("orderId"),
        "orderUrl": plain("orderUrl"),
        "type": plain("orderTypeId"),
        "status": plain("statusId"),
        "orderDate": plain("orderDate", "date"),
        "receiveDate": Field("date", lambda _, order: order.get("receiveDate") or order.get("dueDate")),
        "subtotal": plain("orderItemListTotal", "number"),
        "total": Field("number", lambda _, order: order_total(order)),
        "totalUnits": Field("number", _units),
        "publicNotes": plain("publicNotes"),
        "privateNotes": plain("privateNotes"),
        "recordLastUpdated": plain("lastUpdatedDate", "instant"),
    },
    "orderItem": {
        "itemIndex": plain("itemIndex", "number"),
        "productUnitsOrdered": plain("quantity", "number"),
        "productUnitsReceived": Field("number", _units_received),
        "quantity": plain("quantity", "number"),
        "unitPrice": plain("unitPrice", "number"),
        "subtotal": Field("number", _line_amount),
    },
    "shipment": {
        "shipmentId": plain("shipmentId"),
        "shipmentUrl": plain("shipmentUrl"),
        "type": plain("shipmentTypeId"),
        "status": plain("statusId"),
        "receiveDate": plain("receiveDate", "date"),
        "shipDate": plain("shipDate", "date"),
        "trackingCode": plain("trackingCode"),
        "recordLastUpdated": plain("lastUpdatedDate", "instant"),
    },
    "facility": {
        "facilityId": plain("facilityId"),
        "facilityUrl": plain("facilityUrl"),
        "name": plain("facilityName"),
        "status": plain("statusId"),
        "recordLastUpdated": plain("lastUpdatedDate", "instant"),
    },
}


def locations(state: FinaleState) -> list[tuple[str, str]]:
    """The columns of stock that this account has: field name and address of each location."""
    name = f"stockColumnQuantityOnHandUnits{state.account[:1].upper()}{state.account[1:]}apifacility"
    rows = state.records("facility")
    return [(f"{name}{row['facilityId']}", row["facilityUrl"]) for row in rows if row["parentFacilityUrl"] is None]
