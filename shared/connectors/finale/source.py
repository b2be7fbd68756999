"""Reads Finale Inventory: products with their stock and suppliers as whole collections, orders page by page."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from shared.clock import Clock, SystemClock
from shared.connector_sdk.protocol import BadRecord, Client, Connector, Page, ReadRequest, Shape
from shared.connector_sdk.spec import ConnectorSpec
from shared.connectors.finale.account import Account
from shared.connectors.finale.config import FinaleConfig
from shared.connectors.finale.mapping import ID_FIELDS
from shared.connectors.finale.orders import LOOK_CALLS, READS_PER_PAGE, OrderReader
from shared.connectors.finale.orders_state import OrdersState, read_cursor
from shared.connectors.finale.spec import SPEC
from shared.connectors.finale.stock import Stock, stock_by_product
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord

_RESOURCES: Mapping[Entity, str] = {"inventory": "product", "vendors": "partygroup", "purchase_orders": "order"}
_SPOOL_CALLS: Mapping[Entity, int] = {"inventory": 2, "vendors": 1}


class FinaleSource:
    """See the port `Source`, and `UnevenSource`."""

    def __init__(self, config: FinaleConfig, client: Client, clock: Clock) -> None:
        self._account = Account(config, client)
        self._orders = OrderReader(self._account, ZoneInfo(config.time_zone))
        self._clock = clock

    def shape(self, entity: Entity) -> Shape:
        return "pages" if entity == "purchase_orders" else "spool"

    def stable_paging(self, entity: Entity) -> bool:  # noqa: ARG002 - the port's signature
        """Orders are read in the order of their addresses: none moves when others vanish."""
        return True

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:
        calls = self.calls_of_page(entity, None)
        return calls if entity != "purchase_orders" else {**calls, "get": max(LOOK_CALLS, READS_PER_PAGE)}

    def calls_of_page(self, entity: Entity, cursor: Cursor) -> Mapping[str, int]:
        if entity != "purchase_orders":
            calls = _SPOOL_CALLS[entity]
            return {"collection": calls, "get": calls}
        state = read_cursor(cursor)
        if state is not None and state.due:
            return {"get": min(len(state.due), READS_PER_PAGE)}
        return {"collection": LOOK_CALLS, "get": LOOK_CALLS}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        state = read_cursor(cursor) or OrdersState(then=self._orders.first_place(request.since, self._clock.now()))
        if state.due:
            return await self._orders.read(state)
        assert state.then is not None
        return await self._orders.look(state.then)

    async def read_all(self, request: ReadRequest) -> AsyncGenerator[RawRecord | BadRecord, None]:
        if request.entity == "inventory":
            async for product in self._products():
                yield product
        else:
            async for supplier in self._suppliers():
                yield supplier

    async def check(self, entity: Entity) -> int:
        """One record of the collection. `limit` is safe without a filter beside it."""
        async with self._account.collection(_RESOURCES[entity], ID_FIELDS[entity], params=(("limit", "1"),)) as table:
            return table.length

    async def _products(self) -> AsyncGenerator[RawRecord, None]:
        # Stock is read after the products: a product that is made meanwhile is not shown with a stock of 0.
        async with self._account.collection("product", "productUrl") as table:
            stock = await stock_by_product(self._account)
            async for row in table.rows():
                of = stock.get(str(row.get("productUrl")), Stock())
                row |= {
                    "quantityOnHand": of.on_hand,
                    "quantityOnOrder": of.on_order,
                    "quantityReserved": of.reserved,
                }
                yield row

    async def _suppliers(self) -> AsyncGenerator[RawRecord, None]:
        """Of suppliers, customers, carriers and the own company, those that supply."""
        async with self._account.collection("partygroup", "partyGroupUrl", "roleTypeIdList") as table:
            async for row in table.rows():
                if "SUPPLIER" in (row.get("roleTypeIdList") or ()):
                    yield row


class FinaleConnector:
    """See the port `Connector`."""

    spec: ConnectorSpec = SPEC

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def open(self, config: Mapping[str, Any], client: Client) -> FinaleSource:
        return FinaleSource(FinaleConfig.model_validate(config), client, self._clock)


CONNECTOR: Connector = FinaleConnector()
