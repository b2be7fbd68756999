"""Records as Finale shows them: with the addresses of the actions that their state allows."""

from collections.abc import Iterator

from sandboxes.finale.orders import ORDER_ACTIONS
from sandboxes.finale.shipments import SHIPMENT_ACTIONS
from sandboxes.finale.stock import as_text, stock_rows
from sandboxes.finale.store import Record, Resource, Store
from sandboxes.finale.switches import Switches


def shown(resource: Resource, record: Record) -> Record:
    """One record with its `actionUrl...` fields; never the stored record itself."""
    result = dict(record)
    if resource == "product":
        action = "Deactivate" if record["statusId"] == "PRODUCT_ACTIVE" else "Activate"
        result[f"actionUrl{action}"] = f"{record['productUrl']}/{action.lower()}"
    elif resource == "order":
        for name, (allowed, _) in ORDER_ACTIONS.items():
            if record["statusId"] in allowed:
                result[f"actionUrl{name.title()}"] = f"{record['orderUrl']}/{name}"
    elif resource == "shipment":
        for kind_action, (kind, allowed, _) in SHIPMENT_ACTIONS.items():
            if record["statusId"] in allowed and kind in ("", record["shipmentTypeId"]):
                result[f"actionUrl{kind_action.title()}"] = f"{record['shipmentUrl']}/{kind_action}"
    return result


def listed(resource: Resource, store: Store, switches: Switches) -> Iterator[Record]:
    """The records as a collection shows them, in the order of creation."""
    for record in store.rows[resource].values():
        result = shown(resource, record)
        if resource == "order" and not switches.order_lines_in_collection:
            result.pop("orderItemList", None)
        if resource == "partygroup" and switches.party_name == "description":
            result["description"] = result.pop("groupName", None)
        yield result


def stock_listed(store: Store, switches: Switches) -> Iterator[Record]:
    """The rows of `inventoryitem`."""
    for row in stock_rows(store):
        if switches.stock_parents:
            row["parentFacilityUrl"] = store.rows["facility"].get(str(row["facilityUrl"]), {}).get("parentFacilityUrl")
        yield as_text(row) if switches.quantities_as_text else row
