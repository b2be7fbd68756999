"""Sources: make, show, change, delete."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import JsonValue

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.models import SourceCreate, SourcePatch
from services.gateway.once import IdempotencyKey, Outcome, once
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, page, time_cursor
from services.gateway.problems import not_found
from services.gateway.source_editing import change_source, create_source
from services.gateway.starting import living_source
from shared.contracts.ids import SourceId
from shared.runtime.dispatch import announce_closed
from shared.storage import sources
from shared.storage.audit import record
from shared.storage.closing import cancel_run
from shared.storage.database import Connection
from shared.storage.sources import SourceView

router = APIRouter(prefix="/api/sources", tags=["sources"])


@router.post("", status_code=201, response_model=SourceView)
async def create(
    body: SourceCreate, request: Request, identity: CurrentIdentity, deps: Deps, key: IdempotencyKey = None
) -> Response:
    """Save a source. Its credentials are sealed and never given back; nothing is fetched before its first time."""

    async def work(conn: Connection) -> Outcome:
        source = await create_source(deps, conn, identity.user_id, body)
        await record(conn, identity.user_id, identity.actor, "source.created", "source", source.id)
        return Outcome(201, source, f"/api/sources/{source.id}")

    return await once(deps, identity, request, key, work)


@router.get("")
async def list_all(
    identity: CurrentIdentity,
    deps: Deps,
    include_deleted: Annotated[bool, Query()] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> ItemList[SourceView]:
    """The caller's sources, oldest first."""
    after = time_cursor("sources", cursor)
    async with deps.database.as_user(identity.user_id) as conn:
        found = await sources.list_sources(conn, include_deleted=include_deleted, limit=limit + 1, after=after)
    return page(found, limit, "sources", lambda source: (source.created_at.isoformat(), str(source.id)))


@router.get("/{source_id}")
async def show(source_id: SourceId, identity: CurrentIdentity, deps: Deps) -> SourceView:
    """One source."""
    async with deps.database.as_user(identity.user_id) as conn:
        return await living_source(conn, source_id)


@router.patch("/{source_id}")
async def change(source_id: SourceId, body: SourcePatch, identity: CurrentIdentity, deps: Deps) -> SourceView:
    """Change what is sent. New addresses need credentials again; a new config or mapping makes the next run full."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        source = await change_source(deps, conn, identity.user_id, source_id, body)
        sent: list[JsonValue] = [*sorted(body.model_fields_set)]
        await record(conn, identity.user_id, identity.actor, "source.changed", "source", source_id, {"fields": sent})
        return source


@router.delete("/{source_id}", status_code=204)
async def delete(source_id: SourceId, identity: CurrentIdentity, deps: Deps) -> Response:
    """Cancel its runs, erase its credentials, and hide it. Rows that it brought stay."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        if await sources.lock_source(conn, source_id) is None:
            raise not_found("source")
        active = await sources.active_run_ids(conn, source_id)
        closed = [(run_id, await cancel_run(conn, run_id)) for run_id in active]
        await sources.erase_source(conn, source_id)
        await record(conn, identity.user_id, identity.actor, "source.deleted", "source", source_id)
    for run_id, each in closed:
        if each is not None:
            await announce_closed(deps.database, deps.bus, run_id, each)
    return Response(status_code=204)
