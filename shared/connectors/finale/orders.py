"""Purchase orders: which are to be read, and each with its lines, its supplier and what has arrived.

A page either looks (whole collections: which orders come next, what was delivered for them) or reads (a few orders at
their own addresses, because the collection has headers only). The cursor carries what a look found, so a wait for the
budget goes on where it was.
"""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from shared.connector_sdk.protocol import BadRecord, Page, WholeReadNeededError
from shared.connectors.finale.account import Account, BeyondCapError
from shared.connectors.finale.columns import ColumnTable
from shared.connectors.finale.filters import OVERLAP, filter_param, local_text, next_window, window_end
from shared.connectors.finale.order_completing import LinesLeftOutError, OrderCompleter, is_purchase, receipts_of
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
        self._completer = OrderCompleter(account)

    def first_place(self, since: datetime | None, now: datetime) -> Place:
        """Where a read begins: everything, or what changed since a day before `since`."""
        if since is None:
            return Place()
        return Place("", local_text(since - OVERLAP, self._zone), local_text(now + OVERLAP, self._zone))

    async def look(self, place: Place, *, first: bool) -> Page:
        """The next orders by address: as records where the collection has their lines, else to be read one by one.

        Where a collection is beyond the cap, all orders are read by GraphQL. Raises WholeReadNeededError if this is the
        first page of what was meant to be a read of changes.
        """
        try:
            return await self._look(place)
        except BeyondCapError:
            if place.lower is None:
                return Page([], OrdersState(view="").cursor(), 0)
            if first:
                raise WholeReadNeededError from None
            raise

    async def _look(self, place: Place) -> Page:
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
            receipts = await receipts_of(shipments, set(chosen))
            parties = await self._completer.unusual_parties()
            records: list[RawRecord] = []
            rejects: list[BadRecord] = []
            if whole:
                numbers = {headers[url] for url in chosen if url in headers}
                async for row in orders.rows(wanted=numbers.__contains__):
                    _sort_in(self._completed(row, receipts.get(row["orderUrl"], Receipts()), parties), records, rejects)
        # An order whose shipment alone changed is not in the window's answer.
        missing = [url for url in chosen if not whole or url not in headers]
        due = [Due(url, receipts.get(url, Receipts())) for url in missing]
        cursor = OrdersState(due, then, parties).cursor()
        return Page(records, cursor, len(encode_json(records)), rejects=tuple(rejects))

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
                _sort_in(self._completed(row, due.receipts, state.unusual_parties), records, rejects)
        rest = OrdersState(state.due[READS_PER_PAGE:], state.then, state.unusual_parties)
        return Page(records, rest.cursor(), len(encode_json(records)), rejects=tuple(rejects))

    def _completed(self, order: RawRecord, receipts: Receipts, parties: Mapping[str, str]) -> RawRecord | BadRecord:
        """What is wrong with one order is no reason to leave all others as they were."""
        try:
            return self._completer.complete(order, receipts, parties)
        except LinesLeftOutError:
            raise
        except DataError as error:
            return BadRecord(encode_json(order).decode(), error.message, str(order["orderUrl"]))


def _sort_in(found: RawRecord | BadRecord, records: list[RawRecord], rejects: list[BadRecord]) -> None:
    if isinstance(found, BadRecord):
        rejects.append(found)
    else:
        records.append(found)


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
        if not isinstance(url, str) or url <= place.after or not is_purchase(row):
            continue
        if not isinstance(changed, str) or place.lower <= changed <= upper:
            found.add(url)
    return found
