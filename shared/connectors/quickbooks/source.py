"""Reads one company: all records by pages in the order of their ids, then what changed."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from shared.connector_sdk.protocol import (
    Client,
    Connector,
    Page,
    ReadRequest,
    Shape,
    WholeReadNeededError,
)
from shared.connector_sdk.spec import ConnectorSpec
from shared.connectors.quickbooks.company import Changes, Company, Found, record_id
from shared.connectors.quickbooks.config import QuickBooksConfig
from shared.connectors.quickbooks.faults import QueryRefusedError
from shared.connectors.quickbooks.mapping import ON_ORDER
from shared.connectors.quickbooks.on_order import OnOrder
from shared.connectors.quickbooks.spec import SPEC
from shared.connectors.quickbooks.statement import PAGE, START, Table, select, select_ids
from shared.connectors.quickbooks.walk import Place
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import DataError

TABLES: Final[Mapping[Entity, Table]] = {
    "inventory": "Item",
    "vendors": "Vendor",
    "purchase_orders": "PurchaseOrder",
}
_CALLS: Final[Mapping[Entity, int]] = {"inventory": 3, "vendors": 3, "purchase_orders": 1}
_SAMPLE = 10
_IDS = 50
"""Ids of one query: a statement travels in a URL, and no number of values that IN takes is documented."""
_GOODS = "Type IN ('Inventory', 'NonInventory')"
_OPEN = "POStatus = 'Open'"
_ALL, _CHANGED = "all:", "changed:"
"""How a cursor begins: a walk through all records, or through those that changed; behind it the place in it."""


class QuickBooksSource:
    """See the port `Source`."""

    def __init__(self, config: QuickBooksConfig, client: Client) -> None:
        self._company = Company(config, client)

    def shape(self, entity: Entity) -> Shape:  # noqa: ARG002 - the port's signature
        return "pages"

    def stable_paging(self, entity: Entity) -> bool:  # noqa: ARG002 - the port's signature
        return True

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:
        """Changes, records, and beside them the open orders or the names of terms. What is beyond waits for itself."""
        return {"default": _CALLS[entity]}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        if request.ids is not None:
            return await self._read_ids(request.entity, request.ids, int(cursor or 0))
        if cursor is not None:
            kind = _CHANGED if str(cursor).startswith(_CHANGED) else _ALL
            since = request.since if kind == _CHANGED else None
            return await self._walk(request.entity, Place.parse(str(cursor).removeprefix(kind)), since)
        if request.since is None:
            return await self._walk(request.entity, START, None)
        match request.entity:
            case "inventory":
                return await self._changed_items(request.since)
            case "vendors":
                found = await self._company.changes(("Vendor",), request.since)
                return await self._vendors(found, request.since)
            case "purchase_orders":
                return await self._changed_orders(request.since)

    def read_all(self, request: ReadRequest) -> AsyncIterator[RawRecord]:
        raise AssertionError(f"quickbooks reads {request.entity} in pages")

    async def check(self, entity: Entity) -> int:
        found, _ = await self._ask(TABLES[entity], size=_SAMPLE)
        return len(found.records)

    async def _read_ids(self, entity: Entity, ids: tuple[str, ...], at: int) -> Page:
        """One query's worth of ids, from the place `at` on. What is not found is no more: inactive records are."""
        wanted = ids[at : at + _IDS]
        found = await self._company.query(TABLES[entity], select_ids(TABLES[entity], wanted))
        known = set(found.ids)
        if not known <= set(wanted):
            raise DataError("QuickBooks sent records that were not asked for", hint="Sync again; report it.")
        if entity == "inventory":
            await self._add_on_order(found.records)
        elif entity == "vendors":
            await self._add_terms(found.records)
        return Page(
            records=found.records,
            next_cursor=at + _IDS if at + _IDS < len(ids) else None,
            bytes=found.bytes,
            deletions=tuple(one for one in wanted if one not in known),
        )

    async def _changed_items(self, since: datetime) -> Page:
        """A change of any order may change what is due of items that it names no more, so all are read again then."""
        found = await self._company.changes(("Item", "PurchaseOrder"), since)
        if found is None or found.touches("PurchaseOrder"):
            return await self._walk("inventory", START, None)
        records = found.records["Item"]
        await self._add_on_order(records)
        return _page_of(found, records)

    async def _changed_orders(self, since: datetime) -> Page:
        """Only change data capture tells deletions: where it cannot, only a full read does."""
        found = await self._company.changes(("PurchaseOrder",), since)
        if found is None:
            raise WholeReadNeededError
        return _page_of(found, found.records["PurchaseOrder"], found.deleted["PurchaseOrder"])

    async def _vendors(self, found: Changes | None, since: datetime) -> Page:
        if found is None:
            return await self._walk("vendors", START, since)
        records = found.records["Vendor"]
        await self._add_terms(records)
        return _page_of(found, records)

    async def _walk(self, entity: Entity, place: Place, since: datetime | None) -> Page:
        """One page: of all records, or of those that changed from `since` on."""
        found, following = await self._ask(TABLES[entity], place=place, since=since)
        if entity == "inventory":
            await self._add_on_order(found.records)
        elif entity == "vendors":
            await self._add_terms(found.records)
        kind = _ALL if since is None else _CHANGED
        return Page(
            records=found.records,
            next_cursor=None if following is None else f"{kind}{following}",
            bytes=found.bytes,
            total=found.total if place == START else None,
            changed_until=found.time if place == START else None,
        )

    async def _ask(
        self, table: Table, *, place: Place = START, since: datetime | None = None, only: str = "", size: int = PAGE
    ) -> tuple[Found, Place | None]:
        """One page, and where the next one begins."""
        found = await self._page(table, place, since, only, size)
        if not place.precedes(found.ids):
            place = place.without_ids()
            found = await self._page(table, place, since, only, size)
        return found, place.next(found.ids, found.total, size)

    async def _page(self, table: Table, place: Place, since: datetime | None, only: str, size: int) -> Found:
        """A condition that the vendor cannot filter by is left out: the mapping and the sums sort it out."""
        wish = _GOODS if table == "Item" else only
        try:
            return await self._company.query(
                table, select(table, place=place, since=since, also=(wish,) if wish else (), size=size)
            )
        except QueryRefusedError:
            if not wish:
                raise
        return await self._company.query(table, select(table, place=place, since=since, size=size))

    async def _add_on_order(self, items: list[RawRecord]) -> None:
        """Give each item what open orders still bring; a side read, whose orders are summed page by page."""
        if not items:
            return
        due = OnOrder()
        place: Place | None = START
        while place is not None:
            found, place = await self._ask("PurchaseOrder", place=place, only=_OPEN)
            due.add(found.records)
        for item in items:
            item[ON_ORDER] = due.of(record_id(item))

    async def _add_terms(self, vendors: list[RawRecord]) -> None:
        """A vendor's reference to its payment terms often comes without their name."""
        nameless = [
            reference
            for vendor in vendors
            if isinstance(reference := vendor.get("TermRef"), dict) and "value" in reference and "name" not in reference
        ]
        if not nameless:
            return
        found = await self._company.query("Term", select("Term"))
        names = {record_id(term): term.get("Name") for term in found.records}
        for reference in nameless:
            reference["name"] = names.get(reference["value"])


def _page_of(found: Changes, records: list[RawRecord], deletions: tuple[str, ...] = ()) -> Page:
    """All of a change data capture; it has no second page."""
    return Page(records=records, next_cursor=None, bytes=found.bytes, deletions=deletions, changed_until=found.time)


class QuickBooksConnector:
    """See the port `Connector`."""

    spec: ConnectorSpec = SPEC

    def open(self, config: Mapping[str, Any], client: Client) -> QuickBooksSource:
        return QuickBooksSource(QuickBooksConfig.model_validate(config), client)


CONNECTOR: Connector = QuickBooksConnector()
