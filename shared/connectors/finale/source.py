"""Reads Finale Inventory: products with their stock and suppliers as whole collections, orders page by page."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any
from zoneinfo import ZoneInfo

from shared.clock import Clock, SystemClock
from shared.connector_sdk.protocol import BadRecord, Client, Connector, Page, ReadRequest, Shape
from shared.connector_sdk.spec import ConnectorSpec
from shared.connectors.finale.access import access_calls, access_together
from shared.connectors.finale.account import COLLECTION_CAP, Account
from shared.connectors.finale.config import FinaleConfig
from shared.connectors.finale.mapping import ID_FIELDS
from shared.connectors.finale.orders import LOOK_CALLS, READS_PER_PAGE, OrderReader
from shared.connectors.finale.orders_state import OrdersState, read_cursor
from shared.connectors.finale.orders_view import OrderView
from shared.connectors.finale.report_orders import ORDER_CALLS, OrderReportReader
from shared.connectors.finale.report_reading import PRODUCT_CALLS, SUPPLIER_CALLS, ReportReader
from shared.connectors.finale.reports import TURNS, Reports
from shared.connectors.finale.spec import SPEC
from shared.connectors.finale.stock import STOCK_CALLS, read_stock
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import HeadraceError

_RESOURCES: Mapping[Entity, str] = {"inventory": "product", "vendors": "partygroup", "purchase_orders": "order"}
_SPOOL_CALLS: Mapping[Entity, int] = {"inventory": 1 + STOCK_CALLS, "vendors": 1}
_REPORT_CALLS: Mapping[Entity, int] = {
    "inventory": PRODUCT_CALLS,
    "vendors": SUPPLIER_CALLS,
    "purchase_orders": ORDER_CALLS,
}
_SAMPLE_ROWS = 20
TEST_SECONDS = 15.0
"""For a report's beginning; a test of three has a minute."""


class FinaleSource:
    """See the port `Source`, and `UnevenSource` and `JointSource`."""

    def __init__(
        self,
        config: FinaleConfig,
        client: Client,
        clock: Clock,
        cap: int = COLLECTION_CAP,
        test_seconds: float = TEST_SECONDS,
    ) -> None:
        self._account = Account(config, client, cap)
        self._reports = Reports(self._account, config.report_urls)
        self._orders = OrderReader(self._account, ZoneInfo(config.time_zone))
        self._clock = clock
        self._test_seconds = test_seconds

    def shape(self, entity: Entity) -> Shape:
        return "pages" if entity == "purchase_orders" and entity not in self._reports else "spool"

    def stable_paging(self, entity: Entity) -> bool:  # noqa: ARG002 - the port's signature
        """Orders are read in the order of their addresses: none moves when others vanish."""
        return True

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:
        calls = self.calls_of_page(entity, None)
        if self.shape(entity) == "spool":
            return calls
        return {**calls, "get": max(LOOK_CALLS, READS_PER_PAGE), "post": 1}

    def calls_of_page(self, entity: Entity, cursor: Cursor) -> Mapping[str, int]:
        if entity in self._reports:
            calls = _REPORT_CALLS[entity]
            return {"collection": calls, "get": calls, "report": TURNS}
        if entity != "purchase_orders":
            calls = _SPOOL_CALLS[entity]
            return {"collection": calls, "get": calls}
        state = read_cursor(cursor)
        if state is not None and state.view is not None:
            return {"post": 1}
        if state is not None and state.due:
            return {"get": min(len(state.due), READS_PER_PAGE)}
        return {"collection": LOOK_CALLS, "get": LOOK_CALLS}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        state = read_cursor(cursor) or OrdersState(then=self._orders.first_place(request.since, self._clock.now()))
        if state.view is not None:
            return await OrderView(self._account).read(state.view)
        if state.due:
            return await self._orders.read(state)
        assert state.then is not None
        return await self._orders.look(state.then, first=cursor is None)

    async def read_all(self, request: ReadRequest) -> AsyncGenerator[RawRecord | BadRecord, None]:
        async with aclosing(self._whole(request.entity)) as records:
            async for record in records:
                yield record

    def _whole(self, entity: Entity) -> AsyncGenerator[RawRecord | BadRecord, None]:
        if entity == "purchase_orders":
            return OrderReportReader(self._account, self._reports).orders()
        if entity in self._reports:
            reader = ReportReader(self._account, self._reports)
            return reader.products() if entity == "inventory" else reader.suppliers()
        return self._products() if entity == "inventory" else self._suppliers()

    async def check(self, entity: Entity) -> int:
        """One record of the collection: `limit` is safe without a filter beside it. Of a report, its beginning, unless
        Finale works on it for longer than a test may take: then only a run shows what is in it."""
        count = await self._first_record(entity)
        return await self._report_begins(entity) or count if entity in self._reports else count

    def calls_of_checks(self, entities: Sequence[Entity]) -> Mapping[str, int]:
        return access_calls(entities, self._reports)

    async def check_together(self, entities: Sequence[Entity]) -> Mapping[Entity, int | HeadraceError]:
        return await access_together(
            self._account, self._reports, entities, by_rest=self._first_record, by_report=self._report_begins
        )

    async def _first_record(self, entity: Entity) -> int:
        async with self._account.collection(_RESOURCES[entity], ID_FIELDS[entity], params=(("limit", "1"),)) as table:
            return table.length

    async def _report_begins(self, entity: Entity) -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._test_seconds):
                return await self._reports.first_rows(entity, _SAMPLE_ROWS)
        return 0

    async def _products(self) -> AsyncGenerator[RawRecord | BadRecord, None]:
        # Stock is read after the products: a product that is made meanwhile is not shown with a stock of 0.
        async with self._account.collection("product", "productUrl") as table:
            stock = await read_stock(self._account)
            async for row in table.rows():
                yield row | stock.fields(str(row.get("productUrl")))

    async def _suppliers(self) -> AsyncGenerator[RawRecord | BadRecord, None]:
        """Of suppliers, customers, carriers and the own company, those that supply."""
        async with self._account.collection("partygroup", "partyGroupUrl", "roleTypeIdList") as table:
            async for row in table.rows():
                if "SUPPLIER" in (row.get("roleTypeIdList") or ()):
                    yield row


class FinaleConnector:
    """See the port `Connector`."""

    spec: ConnectorSpec = SPEC

    def __init__(
        self, clock: Clock | None = None, cap: int = COLLECTION_CAP, test_seconds: float = TEST_SECONDS
    ) -> None:
        """`cap`: the most records that a collection's answer holds; `test_seconds`: what a test waits for a report."""
        self._clock = clock or SystemClock()
        self._test_seconds = test_seconds
        self._cap = cap

    def open(self, config: Mapping[str, Any], client: Client) -> FinaleSource:
        return FinaleSource(FinaleConfig.model_validate(config), client, self._clock, self._cap, self._test_seconds)


CONNECTOR: Connector = FinaleConnector()
