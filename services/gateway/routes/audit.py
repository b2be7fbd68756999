"""The audit log, for reading."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.models import FilterText
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, page, time_cursor
from shared.storage.audit import AuditView, list_entries

router = APIRouter(prefix="/api/audit", tags=["audit"])


@router.get("")
async def list_all(
    identity: CurrentIdentity,
    deps: Deps,
    object_id: Annotated[FilterText | None, Query(max_length=100, description="Of a source, run, token …")] = None,
    action: Annotated[
        FilterText | None, Query(max_length=100, description="`source.created`, `run.cancelled` …")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> ItemList[AuditView]:
    """Who changed or triggered what in the caller's data, newest first."""
    before = time_cursor("audit", cursor)
    async with deps.database.as_user(identity.user_id) as conn:
        found = await list_entries(conn, object_id=object_id, action=action, limit=limit + 1, before=before)
    return page(found, limit, "audit", lambda entry: (entry.at.isoformat(), str(entry.id)))
