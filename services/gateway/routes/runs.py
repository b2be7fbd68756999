"""Runs: show, follow, cancel, repeat."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps, Watch
from services.gateway.models import RetryRequest, RunAccepted
from services.gateway.once import IdempotencyKey, Outcome, once
from services.gateway.pacing import too_many_streams
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, page, time_cursor
from services.gateway.problems import ProblemError, conflict, not_found
from services.gateway.run_events import run_events
from services.gateway.run_flags import run_flags
from services.gateway.run_watch import MOST_STREAMS
from services.gateway.starting import accepted, living_source, start_run
from shared.contracts.ids import ACTIVE, RunId, SourceId
from shared.runtime.dispatch import announce_closed
from shared.storage.audit import record
from shared.storage.closing import cancel_run
from shared.storage.database import Connection
from shared.storage.run_views import RunView, list_runs, load_run

router = APIRouter(prefix="/api/runs", tags=["runs"])
_EVENTS: dict[str, dict[str, str]] = {"text/event-stream": {}}


@router.get("")
async def list_all(
    identity: CurrentIdentity,
    deps: Deps,
    source_id: Annotated[SourceId | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> ItemList[RunView]:
    """The caller's runs, newest first."""
    before = time_cursor("runs", cursor)
    async with deps.database.as_user(identity.user_id) as conn:
        found = await list_runs(conn, source_id=source_id, limit=limit + 1, before=before)
    return page(found, limit, "runs", lambda run: (run.requested_at.isoformat(), str(run.id)))


@router.get("/{run_id}")
async def show(run_id: RunId, identity: CurrentIdentity, deps: Deps) -> RunView:
    """One run with its counters."""
    async with deps.database.as_user(identity.user_id) as conn:
        return await _run(conn, run_id)


@router.get("/{run_id}/events", response_class=StreamingResponse, responses={200: {"content": _EVENTS}})
async def events(run_id: RunId, identity: CurrentIdentity, deps: Deps, watch: Watch) -> StreamingResponse:
    """Server-sent events, each with the whole run as data: `snapshot`, then `progress`, `state`, and `finish` last."""
    async with deps.database.as_user(identity.user_id) as conn:
        await _run(conn, run_id)
    if watch.is_full(identity.user_id):
        raise too_many_streams(MOST_STREAMS)
    stream = run_events(deps, watch, identity, run_id)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.post("/{run_id}/cancel")
async def cancel(run_id: RunId, identity: CurrentIdentity, deps: Deps) -> RunView:
    """End a run. Rows that it wrote stay; nothing is deleted."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        closed = await cancel_run(conn, run_id)
        if closed is None:
            raise not_found("run")
        run = await _run(conn, run_id)
        if run.status != "cancelled":
            raise conflict(f"The run has ended already: {run.status}.", hint="There is nothing to cancel.")
        await record(conn, identity.user_id, identity.actor, "run.cancelled", "run", run_id)
    await announce_closed(deps.database, deps.bus, run_id, closed)
    return run


@router.post("/{run_id}/retry", status_code=202, response_model=RunAccepted)
async def retry(
    run_id: RunId,
    request: Request,
    identity: CurrentIdentity,
    deps: Deps,
    body: RetryRequest | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """The same again, as a new run: all its entities, or only those that did not succeed."""
    failed_only = body is not None and body.failed_only

    async def work(conn: Connection) -> Outcome:
        run = await _run(conn, run_id)
        source = await living_source(conn, run.source_id)
        if run.status in ACTIVE:
            raise conflict("The run has not ended yet.", hint="Wait for it to end, or cancel it.", run_id=run.id)
        left = [name for name, entity in run.entities.items() if not failed_only or entity.status != "succeeded"]
        wanted = [entity for entity in left if entity in source.entities]
        if not wanted:
            detail = "Nothing is left to repeat: every entity succeeded, or the source does not offer it any more."
            raise ProblemError(422, "nothing-to-retry", detail, hint="Start a new sync of the source.")
        flags = await run_flags(conn, run_id)
        again = await start_run(
            conn, identity, source, trigger="retry", entities=wanted, mode=run.mode,
            force=flags.force, dry_run=flags.dry_run, merge=False,
        )  # fmt: skip
        return accepted(again)

    return await once(deps, identity, request, key, work)


async def _run(conn: Connection, run_id: RunId) -> RunView:
    run = await load_run(conn, run_id)
    if run is None:
        raise not_found("run")
    return run
