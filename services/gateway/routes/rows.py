"""The synced rows, read under the caller's own row-level security."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.identity import Identity
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, id_cursor, page
from shared.contracts.ids import Entity, SourceId
from shared.storage.synced_rows import (
    InventoryRow,
    PurchaseOrderRow,
    RowFilter,
    SyncedRow,
    VendorRow,
    list_inventory,
    list_purchase_orders,
    list_vendors,
)

router = APIRouter(prefix="/api", tags=["rows"])


class RowQuery:
    """The filters that all row lists share."""

    def __init__(
        self,
        source_id: Annotated[SourceId | None, Query()] = None,
        updated_since: Annotated[
            AwareDatetime | None, Query(description="Rows that changed here at that time or later.")
        ] = None,
        include_deleted: Annotated[bool, Query()] = False,
        limit: Limit = DEFAULT_LIMIT,
        cursor: CursorText = None,
    ) -> None:
        self._source_id = source_id
        self._updated_since: datetime | None = updated_since
        self._include_deleted = include_deleted
        self.limit = limit
        self._cursor = cursor

    def filter(self, identity: Identity, entity: Entity) -> RowFilter:
        """What to read: one row more than is shown. Raises a 400 problem for a bad cursor."""
        return RowFilter(
            user_id=identity.user_id,
            limit=self.limit + 1,
            source_id=self._source_id,
            changed_since=self._updated_since,
            include_deleted=self._include_deleted,
            after=id_cursor(entity, self._cursor),
        )


Filters = Annotated[RowQuery, Depends()]


def _key(row: SyncedRow) -> tuple[str]:
    identifier: UUID = row.id
    return (str(identifier),)


@router.get("/inventory")
async def inventory(identity: CurrentIdentity, deps: Deps, filters: Filters) -> ItemList[InventoryRow]:
    """Items."""
    wanted = filters.filter(identity, "inventory")
    async with deps.database.as_user(identity.user_id) as conn:
        return page(await list_inventory(conn, wanted), filters.limit, "inventory", _key)


@router.get("/vendors")
async def vendors(identity: CurrentIdentity, deps: Deps, filters: Filters) -> ItemList[VendorRow]:
    """Vendors."""
    wanted = filters.filter(identity, "vendors")
    async with deps.database.as_user(identity.user_id) as conn:
        return page(await list_vendors(conn, wanted), filters.limit, "vendors", _key)


@router.get("/purchase_orders")
async def purchase_orders(identity: CurrentIdentity, deps: Deps, filters: Filters) -> ItemList[PurchaseOrderRow]:
    """Orders with their lines in order."""
    wanted = filters.filter(identity, "purchase_orders")
    async with deps.database.as_user(identity.user_id) as conn:
        return page(await list_purchase_orders(conn, wanted), filters.limit, "purchase_orders", _key)
