"""The shop's records by address, the numbers given out, and the stamps: what all operations share."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from sandboxes.finale.clock import MovableClock

Resource = Literal["product", "partygroup", "facility", "order", "shipment", "inventoryvariance", "customization"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
Record = dict[str, Any]
Number = int | Decimal

URL_FIELDS: dict[Resource, str] = {
    "product": "productUrl",
    "partygroup": "partyGroupUrl",
    "facility": "facilityUrl",
    "order": "orderUrl",
    "shipment": "shipmentUrl",
    "inventoryvariance": "inventoryVarianceUrl",
    "customization": "customizationUrl",
}
_FIRST_NUMBER = 10_001
_INSTANT = "%Y-%m-%dT%H:%M:%S"


class RefusedError(ValueError):
    """Finale refuses the change; the message says why."""


class StockKey(NamedTuple):
    """What tells one row of stock on hand from another (Finale documentation, inventory item)."""

    product_url: str
    facility_url: str
    lot_id: str | None = None
    packing: str | None = None


def canonical(segment: str) -> str:
    """One segment of a path as addresses in payloads spell it."""
    return quote(unquote(segment), safe="")


class Store:
    """Records of one account. Every change goes through `put`, which stamps the record and counts the version."""

    def __init__(self, account: str, zone: ZoneInfo, clock: MovableClock) -> None:
        self.account = account
        self.zone = zone
        self.clock = clock
        self.version = 0
        self.clear()

    def clear(self) -> None:
        """Forget every record and number."""
        self.rows: dict[Resource, dict[str, Record]] = {resource: {} for resource in RESOURCES}
        self.on_hand: dict[StockKey, Number] = {}
        self._numbers: dict[str, int] = {}
        self.version += 1

    def url(self, resource: str, segment: str) -> str:
        """The address of a record, as payloads write it: relative to the host, with the account."""
        return f"/{self.account}/api/{resource}/{canonical(segment)}"

    def number(self, series: str) -> int:
        """The next number of a series; each starts anew, so an order and a shipment may have the same."""
        self._numbers[series] = self._numbers.get(series, _FIRST_NUMBER - 1) + 1
        return self._numbers[series]

    def stamp(self) -> str:
        """Now in the account's zone, without zone and fraction, as Finale writes times."""
        return self.local(self.clock.now())

    def local(self, moment: datetime) -> str:
        """That moment as Finale writes it."""
        return moment.astimezone(self.zone).strftime(_INSTANT)

    def tx_stamp(self) -> int:
        """Now in Unix seconds, as the history of states has it."""
        return int(self.clock.now().timestamp())

    def get(self, resource: Resource, url: str) -> Record:
        """The record at this address. KeyError when there is none."""
        return self.rows[resource][url]

    def put(self, resource: Resource, record: Record) -> Record:
        """Store a new or changed record, stamped as changed now."""
        now = self.stamp()
        record.setdefault("createdDate", now)
        record["lastUpdatedDate"] = now
        for entry in record.get("userFieldDataList") or []:
            if entry.get("attrValueLastUpdatedDate") is True:
                entry["attrValue"] = now
        self.rows[resource][record[URL_FIELDS[resource]]] = record
        self.version += 1
        return record

    def add_stock(self, key: StockKey, difference: Number) -> None:
        """Change the quantity on hand of one row; a row that reaches 0 is gone."""
        quantity = self.on_hand.pop(key, 0) + difference
        if quantity:
            self.on_hand[key] = quantity
        self.version += 1


def is_instant(text: object) -> bool:
    """Whether this is a time as Finale writes it."""
    return parse_instant(text) is not None


def parse_instant(text: object) -> datetime | None:
    """The time that Finale's text means, without a zone; None when it is not one."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.strptime(text, _INSTANT)  # noqa: DTZ007 - the vendor's times have no zone
    except ValueError:
        return None
