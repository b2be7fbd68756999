"""Orders and their states (Finale documentation, order)."""

from collections.abc import Iterable
from typing import Any, Literal

from sandboxes.finale.store import Number, Record, RefusedError, Store

CREATED, LOCKED, COMPLETED, CANCELLED = "ORDER_CREATED", "ORDER_LOCKED", "ORDER_COMPLETED", "ORDER_CANCELLED"
OrderAction = Literal["lock", "complete", "cancel", "edit"]
ORDER_ACTIONS: dict[OrderAction, tuple[tuple[str, ...], str]] = {
    "lock": ((CREATED,), LOCKED),
    "complete": ((CREATED, LOCKED), COMPLETED),
    "cancel": ((CREATED, LOCKED), CANCELLED),
    "edit": ((LOCKED, COMPLETED), CREATED),
}
"""Each action with the states it is offered in, and the state it leads to."""

_FIELDS = {
    "orderDate",
    "dueDate",
    "receiveDate",
    "shipDate",
    "destinationFacilityUrl",
    "originFacilityUrl",
    "orderRoleList",
    "orderItemList",
    "orderAdjustmentList",
    "referenceNumber",
    "publicNotes",
    "privateNotes",
    "settlementTermId",
    "fulfillmentId",
    "requestedShippingServiceId",
    "saleSourceId",
    "contactMechList",
    "contentList",
    "userFieldDataList",
}
_LINE_FIELDS = (
    "quantity",
    "unitPrice",
    "unitListPrice",
    "normalizedPackingString",
    "itemDescription",
    "supplierProductId",
)
_ORDER_TYPES = ("PURCHASE_ORDER", "SALES_ORDER")


class Orders:
    """The operations on orders."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, document: Record) -> Record:
        """Store a draft. RefusedError without a type, or with an id that is taken or too long."""
        order_type = document.get("orderTypeId")
        if order_type not in _ORDER_TYPES:
            raise RefusedError("orderTypeId is PURCHASE_ORDER or SALES_ORDER")
        order_id = document.get("orderId") or str(self._store.number("order"))
        if not isinstance(order_id, str) or len(order_id) > 20 or not order_id.isascii():
            raise RefusedError("orderId is ASCII text of at most 20 characters")
        url = self._store.url("order", order_id)
        if url in self._store.rows["order"]:
            raise RefusedError(f"orderId {order_id} exists already")
        record: Record = {
            "orderId": order_id,
            "orderUrl": url,
            "orderTypeId": order_type,
            "statusId": CREATED,
            "orderDate": self._store.stamp(),
            "orderRoleList": [],
            "orderItemList": [],
            "orderAdjustmentList": [],
            "shipmentUrlList": [],
            "invoiceUrlList": [],
            "userFieldDataList": [],
            "statusIdHistoryList": [],
        }
        self._history(record)
        return self._store.put("order", {**record, **self._fields(document, record)})

    def update(self, url: str, document: Record, *, status_by_post: bool = True) -> Record:
        """Set what the document has, and obey a legal change of its state. RefusedError for what the state forbids."""
        record = self._store.get("order", url)
        status = record["statusId"]
        fields = self._fields(document, record)
        changed = {name for name, value in fields.items() if value != record.get(name)}
        if changed and status in (COMPLETED, CANCELLED):
            raise RefusedError(f"order {record['orderId']} is {status} and cannot be changed")
        if "orderItemList" in changed and status == LOCKED:
            raise RefusedError(f"order {record['orderId']} is {status}: its lines cannot be changed")
        action = self._wanted_action(record, document.get("statusId")) if status_by_post else None
        stored = self._store.put("order", {**record, **fields})
        return stored if action is None else self.act(url, action)

    def act(self, url: str, action: OrderAction) -> Record:
        """Do what an action address does. RefusedError when the state does not offer it."""
        record = self._store.get("order", url)
        allowed, target = ORDER_ACTIONS[action]
        if record["statusId"] not in allowed:
            raise RefusedError(f"order {record['orderId']} is {record['statusId']}: {action} is not allowed")
        changed = {**record, "statusId": target}
        self._history(changed)
        if action == "cancel":
            for shipment_url in record["shipmentUrlList"]:
                shipment = self._store.get("shipment", shipment_url)
                if shipment["statusId"] in ("SHIPMENT_INPUT", "SHIPMENT_PACKED"):
                    self._store.put("shipment", {**shipment, "statusId": "SHIPMENT_CANCELLED"})
        return self._store.put("order", changed)

    def _wanted_action(self, record: Record, wanted: object) -> OrderAction | None:
        """The action that leads to the state in a posted document."""
        if wanted == "ORDER_CANCELED":
            wanted = CANCELLED  # some clients spell it with one L
        if wanted is None or wanted == record["statusId"]:
            return None
        for action, (allowed, target) in ORDER_ACTIONS.items():
            if target == wanted and record["statusId"] in allowed:
                return action
        raise RefusedError(f"order {record['orderId']} cannot go from {record['statusId']} to {wanted}")

    def _fields(self, document: Record, record: Record) -> Record:
        fields = {name: value for name, value in document.items() if name in _FIELDS}
        if "orderItemList" in fields:
            lines = [self._line(record["orderUrl"], sent) for sent in _objects(fields["orderItemList"])]
            fields["orderItemList"] = lines
            fields["orderItemListTotal"] = sum((_amount(line) for line in lines), 0)
        return fields

    def _line(self, order_url: str, sent: Record) -> Record:
        url = sent.get("orderItemUrl")
        if not isinstance(url, str) or not url.startswith(f"{order_url}/"):
            url = f"{order_url}/orderItem/{self._store.number('orderItem')}"
        line: Record = {"orderItemUrl": url, "reserveUrl": f"{url}/reserve"}
        product = self._store.rows["product"].get(str(sent.get("productUrl")))
        if product is not None:  # an address that leads nowhere is no error: the line has no product then
            line |= {"productId": product["productId"], "productUrl": product["productUrl"]}
        for name in ("quantity", "unitPrice"):
            if sent.get(name) is not None:
                number(sent[name], name)
        return line | {name: sent[name] for name in _LINE_FIELDS if sent.get(name) is not None}

    def _history(self, record: Record) -> None:
        entry = {
            "statusId": record["statusId"],
            "txStamp": self._store.tx_stamp(),
            "userLoginUrl": self._store.url("userlogin", "api"),
        }
        record["statusIdHistoryList"] = [*record["statusIdHistoryList"], entry]


def number(value: Any, name: str) -> Number:
    """The value as a number. RefusedError when it is none."""
    if isinstance(value, bool) or not isinstance(value, Number):
        raise RefusedError(f"{name} is a number")
    return value


def _amount(line: Record) -> Number:
    quantity: Number = line.get("quantity", 0)
    price: Number = line.get("unitPrice", 0)
    return quantity * price


def _objects(value: Any) -> Iterable[Record]:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise RefusedError("a list field holds objects")
    return value
