"""Shipments: receipts of purchases and deliveries of sales."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

from sandboxes.finale.orders import number
from sandboxes.finale.store import Number, Record, RefusedError, StockKey, Store

PURCHASE, SALE = "PURCHASE_SHIPMENT", "SALES_SHIPMENT"
INPUT, PACKED, SHIPPED = "SHIPMENT_INPUT", "SHIPMENT_PACKED", "SHIPMENT_SHIPPED"
DELIVERED, CANCELLED = "SHIPMENT_DELIVERED", "SHIPMENT_CANCELLED"
ShipmentAction = Literal["pack", "unpack", "ship", "receive", "cancel"]
SHIPMENT_ACTIONS: dict[ShipmentAction, tuple[str, tuple[str, ...], str]] = {
    "pack": (SALE, (INPUT,), PACKED),
    "unpack": (SALE, (PACKED,), INPUT),
    "ship": (SALE, (PACKED,), SHIPPED),
    "receive": (PURCHASE, (INPUT,), DELIVERED),
    "cancel": ("", (INPUT, PACKED), CANCELLED),
}
"""Each action with the type it is for (none: both), the states it is offered in, and the state it leads to."""


class Shipments:
    """The operations on shipments. A shipment's label is not its address: that has a number of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, document: Record) -> Record:
        """Store an open shipment of an order. RefusedError when the order does not exist."""
        store = self._store
        order = store.rows["order"].get(str(document.get("primaryOrderUrl")))
        if order is None:
            raise RefusedError("primaryOrderUrl leads to no order")
        label = f"{order['orderId']}-{len(order['shipmentUrlList']) + 1}"
        url = store.url("shipment", str(store.number("shipment")))
        record: Record = {
            "shipmentId": label,
            "shipmentIdUser": label,
            "shipmentUrl": url,
            "shipmentTypeId": PURCHASE if order["orderTypeId"] == "PURCHASE_ORDER" else SALE,
            "statusId": INPUT,
            "primaryOrderUrl": order["orderUrl"],
            "shipmentItemList": [self._item(sent, order) for sent in document.get("shipmentItemList", [])],
            "statusIdHistoryList": [{"statusId": INPUT, "txStamp": store.tx_stamp()}],
        }
        for name in ("receiveDateEstimated", "trackingCode"):
            if document.get(name) is not None:
                record[name] = document[name]
        store.put("order", {**order, "shipmentUrlList": [*order["shipmentUrlList"], url]})
        return store.put("shipment", record)

    def act(self, url: str, action: ShipmentAction) -> Record:
        """Do what an action address does; receiving and shipping move stock. RefusedError when it is not offered."""
        store = self._store
        record = store.get("shipment", url)
        kind, allowed, target = SHIPMENT_ACTIONS[action]
        if record["statusId"] not in allowed or (kind and record["shipmentTypeId"] != kind):
            raise RefusedError(f"shipment {record['shipmentId']} is {record['statusId']}: {action} is not allowed")
        changed = {**record, "statusId": target}
        entry = {"statusId": target, "txStamp": store.tx_stamp()}
        changed["statusIdHistoryList"] = [*record["statusIdHistoryList"], entry]
        dates = {"pack": "packDate", "ship": "shipDate", "receive": "receiveDate"}
        if action in dates:
            changed[dates[action]] = store.stamp()
        for item in record["shipmentItemList"] if action in ("receive", "ship") else []:
            if "facilityUrl" in item and "productUrl" in item:
                key = StockKey(item["productUrl"], item["facilityUrl"], item.get("lotId"))
                store.add_stock(key, item["quantity"] if action == "receive" else -item["quantity"])
        return store.put("shipment", changed)

    def receive(self, order_url: str, quantities: Mapping[str, Number], *, lot_id: str | None = None) -> str:
        """Receive so much of each product address for an order; returns the shipment's address."""
        items = [
            {"productUrl": url, "quantity": quantity, **({} if lot_id is None else {"lotId": lot_id})}
            for url, quantity in quantities.items()
        ]
        record = self.create({"primaryOrderUrl": order_url, "shipmentItemList": items})
        return str(self.act(record["shipmentUrl"], "receive")["shipmentUrl"])

    def _item(self, sent: Any, order: Record) -> Record:
        product = self._store.rows["product"].get(str(sent.get("productUrl"))) if isinstance(sent, dict) else None
        if product is None:
            raise RefusedError("an item's productUrl leads to no product")
        item: Record = {"productId": product["productId"], "productUrl": product["productUrl"]}
        place = sent.get("facilityUrl") or sublocation(self._store, order)
        if place is not None:
            item["facilityUrl"] = place
        item["quantity"] = number(sent.get("quantity"), "quantity")
        return item if sent.get("lotId") is None else {**item, "lotId": sent["lotId"]}


def sublocation(store: Store, order: Record) -> str | None:
    """The first sublocation of an order's location, or the location when it has none; None without a location."""
    name = "destinationFacilityUrl" if order["orderTypeId"] == "PURCHASE_ORDER" else "originFacilityUrl"
    location: str | None = order.get(name)
    children = (url for url, facility in store.rows["facility"].items() if facility["parentFacilityUrl"] == location)
    return None if location is None else next(children, location)


def moved(store: Store, order: Record) -> dict[str, Number]:
    """How much of each product address was received (purchase) or shipped (sale) for an order."""
    totals: dict[str, Number] = defaultdict(int)
    for url in order["shipmentUrlList"]:
        shipment = store.get("shipment", url)
        if shipment["statusId"] in (DELIVERED, SHIPPED):
            for item in shipment["shipmentItemList"]:
                totals[item["productUrl"]] += item["quantity"]
    return totals
