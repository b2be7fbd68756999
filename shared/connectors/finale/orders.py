"""Purchase orders: which are to be read, and each with its lines, its supplier and what has arrived.

A page either looks (whole collections: which orders come next, what was delivered for them) or reads (a few orders at
their own addresses, because the collection has headers only). The cursor carries what a look found, so a wait for the
budget goes on where it was.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from shared.connector_sdk.protocol import BadRecord, Page
from shared.connectors.finale.account import Account
from shared.connectors.finale.columns import ColumnTable
from shared.connectors.finale.filters import OVERLAP, filter_param, local_text, next_window, window_end
from shared.connectors.finale.numbers import Number, number
from shared.connectors.finale.orders_state import Due, OrdersState, Place, Receipts
from shared.contracts.messages import RawRecord, encode_json
from shared.errors import DataError

LOOK_CALLS = 3
"""Collections that a look reads at most: order, shipment, partygroup."""
READS_PER_PAGE = 20
"""Of 120 GETs a minute: a page that waits for its calls waits for ten seconds of the budget, not for a minute."""
DUE_PER_LOOK = 300
"""Keeps the cursor at some ten kilobytes."""
ROWS_PER_LOOK = 1_000
"""Where the collection has the lines, and a page is made of it directly."""
_PURCHASE = ("PURCHASE_ORDER", "PURCHASE_ORDER")


class OrderReader:
    """Reads the pages of one account's purchase orders."""

    def __init__(self, account: Account, zone: ZoneInfo) -> None:
        self._account = account
        self._zone = zone
        self._party_root = f"{account.root}partygroup/"

    def first_place(self, since: datetime | None, now: datetime) -> Place:
        """Where a read begins: everything, or what changed since a day before `since`."""
        if since is None:
            return Place()
        return Place("", local_text(since - OVERLAP, self._zone), local_text(now + OVERLAP, self._zone))

    async def look(self, place: Place) -> Page:
        """The next orders by address: as records where the collection has their lines, else to be read one by one."""
        upper = None if place.lower is None else window_end(place.lower, str(place.until))
        async with (
            self._account.collection("order", "orderUrl", "orderTypeId", params=_window(place, upper)) as orders,
            self._account.collection("shipment", "shipmentUrl", "primaryOrderUrl") as shipments,
        ):
            headers = await _purchases(orders, place.after)
            candidates = headers.keys() | await _touched(shipments, place, upper)
            whole = "orderItemList" in orders.names
            chosen = sorted(candidates)[: ROWS_PER_LOOK if whole else DUE_PER_LOOK]
            then = _following(place, upper, chosen, more=len(chosen) < len(candidates))
            if not chosen:
                return Page([], OrdersState([], then).cursor(), 0)
            receipts = await _receipts(shipments, set(chosen))
            parties = await self._unusual_parties()
            records: list[RawRecord] = []
            if whole:
                numbers = {headers[url] for url in chosen if url in headers}
                async for row in orders.rows(wanted=numbers.__contains__):
                    arrived = receipts.get(row["orderUrl"], Receipts())
                    records.append(self._complete(row, arrived, parties))
        # An order whose shipment alone changed is not in the window's answer.
        missing = [url for url in chosen if not whole or url not in headers]
        due = [Due(url, receipts.get(url, Receipts())) for url in missing]
        return Page(records, OrdersState(due, then, parties).cursor(), len(encode_json(records)))

    async def read(self, state: OrdersState) -> Page:
        """The next due orders, one call each."""
        records: list[RawRecord] = []
        rejects: list[BadRecord] = []
        for due in state.due[:READS_PER_PAGE]:
            record = await self._account.record(due.url, "orderUrl")
            if record is None:
                reason = "Finale lists this order, but has nothing at its address (status 404)"
                rejects.append(BadRecord(encode_json({"orderUrl": due.url}).decode(), reason, due.url))
            elif record.get("orderTypeId") == _PURCHASE[0]:  # a shipment may be of another kind of order
                row = {name: value for name, value in record.items() if value is not None}
                records.append(self._complete(row, due.receipts, state.unusual_parties))
        rest = OrdersState(state.due[READS_PER_PAGE:], state.then, state.unusual_parties)
        return Page(records, rest.cursor(), len(encode_json(records)), rejects=tuple(rejects))

    async def _unusual_parties(self) -> dict[str, str]:
        """An order names its supplier's id alone. The address is looked up, and not made of the id: only those that
        differ from what the id would give are carried along."""
        unusual: dict[str, str] = {}
        async with self._account.collection("partygroup", "partyGroupUrl", "partyId") as table:
            async for row in table.rows("partyId", "partyGroupUrl"):
                party, url = row.get("partyId"), row.get("partyGroupUrl")
                if isinstance(party, str) and isinstance(url, str) and url != self._usual(party):
                    unusual[party] = url
        return unusual

    def _usual(self, party: str) -> str:
        return self._party_root + quote(party, safe="")

    def _complete(self, order: RawRecord, receipts: Receipts, parties: Mapping[str, str]) -> RawRecord:
        """The order with vendorUrl, receiptState, lastReceiptDate, and each line's quantityReceived and lineTotal."""
        url = order["orderUrl"]
        total = number(order.get("orderItemListTotal"), f"orderItemListTotal of {url}")
        if "orderItemList" not in order and total:
            raise DataError(
                f"{url} has a total and no orderItemList", hint="Finale left out the lines; sync again later."
            )
        lines, state = _received(_objects(order.get("orderItemList"), url), receipts, url)
        found: RawRecord = {**order, "orderItemList": lines, "receiptState": state}
        if receipts.last is not None:
            found["lastReceiptDate"] = receipts.last
        for role in _objects(order.get("orderRoleList"), url):
            party = role.get("partyId")
            if role.get("roleTypeId") == "SUPPLIER" and isinstance(party, str) and party:
                found["vendorUrl"] = parties.get(party) or self._usual(party)
                break
        return found


def _window(place: Place, upper: str | None) -> tuple[tuple[str, str], ...]:
    """A full read asks for all orders, sales too: beyond the cap a filter on the type is inaccurate, and only an answer
    without one shows that the cap was met."""
    if place.lower is None or upper is None:
        return ()
    return (filter_param({"orderTypeId": _PURCHASE, "lastUpdatedDate": (place.lower, upper)}),)


def _following(place: Place, upper: str | None, chosen: list[str], *, more: bool) -> Place | None:
    if more:
        return Place(chosen[-1], place.lower, place.until)
    lower = None if upper is None else next_window(upper, str(place.until))
    return None if lower is None else Place("", lower, place.until)


async def _purchases(orders: ColumnTable, after: str) -> dict[str, int]:
    """Addresses of the purchase orders behind `after`, with their row numbers."""
    found: dict[str, int] = {}
    at = 0
    async for row in orders.rows("orderUrl", "orderTypeId"):
        url = row.get("orderUrl")
        if not isinstance(url, str):
            raise DataError("order: a row has no orderUrl")
        if row.get("orderTypeId") == _PURCHASE[0] and url > after:
            found[url] = at
        at += 1
    return found


async def _touched(shipments: ColumnTable, place: Place, upper: str | None) -> set[str]:
    """Orders whose shipments changed in the window: a receipt need not stamp its order."""
    found: set[str] = set()
    if place.lower is None or upper is None:
        return found
    async for row in shipments.rows("primaryOrderUrl", "lastUpdatedDate", "shipmentTypeId"):
        url, changed = row.get("primaryOrderUrl"), row.get("lastUpdatedDate")
        if not isinstance(url, str) or url <= place.after or not _is_purchase(row):
            continue
        if not isinstance(changed, str) or place.lower <= changed <= upper:
            found.add(url)
    return found


async def _receipts(shipments: ColumnTable, chosen: set[str]) -> dict[str, Receipts]:
    """What has arrived for each order: SHIPMENT_DELIVERED is a receipt; the order's own receiveDate is unreliable."""
    sums: dict[str, dict[str, Number]] = {}
    last: dict[str, str] = {}
    async for row in shipments.rows(
        "primaryOrderUrl", "statusId", "shipmentTypeId", "shipmentItemList", "receiveDate", "shipmentUrl"
    ):
        url = row.get("primaryOrderUrl")
        if url not in chosen or row.get("statusId") != "SHIPMENT_DELIVERED" or not _is_purchase(row):
            continue
        quantities = sums.setdefault(url, {})
        place = str(row.get("shipmentUrl"))
        for item in _objects(row.get("shipmentItemList"), place):
            product = item.get("productUrl")
            if isinstance(product, str):
                quantity = number(item.get("quantity"), f"quantity in {place}") or 0
                quantities[product] = quantities.get(product, 0) + quantity
        if isinstance(row.get("receiveDate"), str):
            last[url] = max(last.get(url, ""), row["receiveDate"])
    return {
        url: Receipts({product: str(quantity) for product, quantity in quantities.items()}, last.get(url))
        for url, quantities in sums.items()
    }


def _is_purchase(shipment: RawRecord) -> bool:
    return shipment.get("shipmentTypeId") in (None, "PURCHASE_SHIPMENT")


def _received(lines: Iterable[RawRecord], receipts: Receipts, url: str) -> tuple[list[RawRecord], str]:
    """The lines with what arrived of each, and `none`, `some` or `all` of the order.

    Shipments know products, not lines: lines of one product are filled one after the other, and what is left over
    belongs to the last of them.
    """
    left: dict[str, Number] = {product: Decimal(text) for product, text in receipts.quantities.items()}
    found = [dict(line) for line in lines]
    last = {line["productUrl"]: at for at, line in enumerate(found) if line.get("productUrl") is not None}
    some, everything = any(left.values()), True
    for at, line in enumerate(found):
        quantity = number(line.get("quantity"), f"quantity of a line of {url}")
        price = number(line.get("unitPrice"), f"unitPrice of a line of {url}")
        if quantity is not None and price is not None:
            line["lineTotal"] = quantity * price
        product = line.get("productUrl")
        if product is None:
            everything = everything and not quantity
            continue
        available = left.get(product, 0)
        taken = available if last[product] == at else min(available, max(quantity or 0, 0))
        left[product] = available - taken
        line["quantityReceived"] = taken
        everything = everything and taken >= (quantity or 0)
    return found, "none" if not some else "all" if everything else "some"


def _objects(value: Any, place: str) -> list[RawRecord]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(f"{place}: a list of objects was due")
    return value
