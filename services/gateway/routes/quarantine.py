"""The caller's records that could not become rows."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, encode_cursor, time_cursor
from shared.contracts.ids import Entity, RunId, SourceId
from shared.storage.quarantine import QuarantinedRecord, QuarantineFilter, list_quarantined

router = APIRouter(prefix="/api/quarantine", tags=["quarantine"])

_NAME = "quarantine"


@router.get("")
async def quarantine(
    identity: CurrentIdentity,
    deps: Deps,
    source_id: Annotated[SourceId | None, Query()] = None,
    run_id: Annotated[RunId | None, Query(description="Quarantined by this run.")] = None,
    entity: Annotated[Entity | None, Query()] = None,
    include_resolved: Annotated[
        bool, Query(description="Also records that a later run read well or did not find any more.")
    ] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> ItemList[QuarantinedRecord]:
    """Newest first, each with the field, the reason and the raw record. Large records make shorter pages."""
    wanted = QuarantineFilter(source_id, run_id, entity, include_resolved, time_cursor(_NAME, cursor))
    async with deps.database.as_user(identity.user_id) as conn:
        items, more = await list_quarantined(conn, wanted, limit)
    next_cursor = encode_cursor(_NAME, (items[-1].created_at.isoformat(), str(items[-1].id))) if more else None
    return ItemList(items=items, next_cursor=next_cursor)
