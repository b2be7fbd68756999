"""The synced rows, read under the caller's own row-level security, and edited by hand."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import JsonValue

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps, GatewayDeps
from services.gateway.identity import Identity
from services.gateway.models import Moment
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, id_cursor, page
from services.gateway.problems import FieldError, invalid, not_found, pointer
from services.gateway.row_edits import InventoryEdit, PurchaseOrderEdit, RowEdit, VendorEdit
from shared.contracts.ids import Entity, SourceId
from shared.contracts.records import REQUIRED_ANY
from shared.storage.audit import record
from shared.storage.synced_rows import (
    InventoryRow,
    PurchaseOrderRow,
    RowFilter,
    SyncedRow,
    VendorRow,
    edit_row,
    list_inventory,
    list_purchase_orders,
    list_vendors,
)

router = APIRouter(prefix="/api", tags=["rows"])


_Row = TypeVar("_Row", bound=SyncedRow)


class RowQuery:
    """The filters that all row lists share."""

    def __init__(
        self,
        source_id: Annotated[SourceId | None, Query()] = None,
        updated_since: Annotated[
            Moment | None, Query(description="Rows that changed here at that time or later.")
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


@router.patch("/inventory/{row_id}")
async def edit_inventory(row_id: UUID, body: InventoryEdit, identity: CurrentIdentity, deps: Deps) -> InventoryRow:
    """A local edit of one item. The next read that brings it puts the source's values back where they differ."""
    wanted = await _edited(deps, identity, "inventory", row_id, body)
    async with deps.database.as_user(identity.user_id) as conn:
        return _only(await list_inventory(conn, wanted))


@router.patch("/vendors/{row_id}")
async def edit_vendor(row_id: UUID, body: VendorEdit, identity: CurrentIdentity, deps: Deps) -> VendorRow:
    """A local edit of one vendor, likewise."""
    wanted = await _edited(deps, identity, "vendors", row_id, body)
    async with deps.database.as_user(identity.user_id) as conn:
        return _only(await list_vendors(conn, wanted))


@router.patch("/purchase_orders/{row_id}")
async def edit_purchase_order(
    row_id: UUID, body: PurchaseOrderEdit, identity: CurrentIdentity, deps: Deps
) -> PurchaseOrderRow:
    """A local edit of one order's head, likewise. Its lines are the source's."""
    wanted = await _edited(deps, identity, "purchase_orders", row_id, body)
    async with deps.database.as_user(identity.user_id) as conn:
        return _only(await list_purchase_orders(conn, wanted))


async def _edited(deps: GatewayDeps, identity: Identity, entity: Entity, row_id: UUID, body: RowEdit) -> RowFilter:
    """Carry the edit out; how to read the row then. Raises the 404 problem, and 422 for a row without its name."""
    changes = body.changes()
    async with deps.database.for_tenant(identity.user_id) as conn:
        complete = await edit_row(conn, identity.user_id, entity, row_id, changes)
        if complete is None:
            raise not_found("row")
        if not complete:
            first, *others = REQUIRED_ANY[entity]
            needed = " or ".join((first, *others))
            raise invalid([FieldError(pointer=pointer(first), detail=f"the row needs a value for {needed}")])
        details: dict[str, JsonValue] = {"entity": entity, "fields": [*sorted(changes)]}
        await record(conn, identity.user_id, identity.actor, "row.edited", "row", row_id, details)
    return RowFilter(identity.user_id, limit=1, only=row_id)


def _only(rows: Sequence[_Row]) -> _Row:
    if not rows:
        raise not_found("row")  # it was deleted just now
    return rows[0]
