"""What one can tell a source to do."""

from fastapi import APIRouter, Request, Response

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.models import ExternalRuns, ExternalSyncRequest, RunAccepted, SourceRun, SyncRequest, TestResult
from services.gateway.once import IdempotencyKey, Outcome, once
from services.gateway.probing import test_stored
from services.gateway.problems import FieldError, conflict, invalid, not_found, pointer
from services.gateway.starting import accepted, living_source, start_run
from shared.contracts.ids import SourceId
from shared.contracts.schedule import next_after
from shared.storage import cache_rules, sources
from shared.storage.audit import record
from shared.storage.database import Connection
from shared.storage.sources import SourceView

router = APIRouter(prefix="/api", tags=["sources"])


@router.post("/sources/{source_id}/test")
async def try_source(source_id: SourceId, identity: CurrentIdentity, deps: Deps) -> TestResult:
    """Try the stored credentials. 200 also when the test fails: `ok` tells."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        source = await living_source(conn, source_id)
    return await test_stored(deps, identity.user_id, source)


@router.post("/sources/{source_id}/pause")
async def pause(source_id: SourceId, identity: CurrentIdentity, deps: Deps) -> SourceView:
    """No more runs by time, webhook or outside request. An active run goes on; a manual sync stays possible."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        await _locked(conn, source_id)
        await sources.pause_source(conn, source_id)
        await record(conn, identity.user_id, identity.actor, "source.paused", "source", source_id)
        return await living_source(conn, source_id)


@router.post("/sources/{source_id}/resume")
async def resume(source_id: SourceId, identity: CurrentIdentity, deps: Deps) -> SourceView:
    """Undo a pause."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        source = await _locked(conn, source_id)
        await sources.resume_source(conn, source_id, next_after(source.sync_frequency, deps.clock.now()))
        await record(conn, identity.user_id, identity.actor, "source.resumed", "source", source_id)
        return await living_source(conn, source_id)


@router.post("/sources/{source_id}/reset")
async def reset(source_id: SourceId, identity: CurrentIdentity, deps: Deps) -> SourceView:
    """Forget how far each entity was read, and kept answers: the next run reads everything anew. Rows stay."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        source = await _locked(conn, source_id)
        active = await sources.active_run_ids(conn, source_id)
        if active:
            detail = "A run of this source is active; it would set the cursors again."
            raise conflict(detail, hint="Wait for it to end, or cancel it.", run_id=active[-1])
        await sources.forget_cursors(conn, source_id)
        await cache_rules.forget(conn, source_id)
        await record(conn, identity.user_id, identity.actor, "source.reset", "source", source_id)
        return source


@router.post("/sources/{source_id}/sync", status_code=202, response_model=RunAccepted)
async def sync(
    source_id: SourceId,
    request: Request,
    identity: CurrentIdentity,
    deps: Deps,
    body: SyncRequest | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Start a run now. 409 names the run that is active already."""
    asked = body or SyncRequest()

    async def work(conn: Connection) -> Outcome:
        source = await living_source(conn, source_id)
        run = await start_run(
            conn, identity, source, trigger="manual", entities=asked.entities, mode=asked.mode,
            force=asked.force, dry_run=asked.dry_run, merge=False,
        )  # fmt: skip
        return accepted(run)

    return await once(deps, identity, request, key, work)


@router.post("/external/sync", status_code=202, response_model=ExternalRuns)
async def external_sync(
    request: Request,
    identity: CurrentIdentity,
    deps: Deps,
    body: ExternalSyncRequest | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Start a run of every enabled source; where one is queued already, that one serves the request."""
    asked = None if body is None or body.source_ids is None else dict.fromkeys(body.source_ids)

    async def work(conn: Connection) -> Outcome:
        enabled = await sources.enabled_source_ids(conn)
        if asked is not None:
            await _check_choice(conn, [SourceId(source_id) for source_id in asked], enabled)
        runs: list[SourceRun] = []
        outbox_ids: list[int] = []
        # In one order for all callers: two requests that lock the same sources must not wait for each other.
        for source_id in sorted(enabled):
            if asked is None or source_id in asked:
                source = await living_source(conn, source_id)
                run = await start_run(conn, identity, source, trigger="external", merge=True)
                runs.append(SourceRun(source_id=source_id, run_id=run.run_id))
                outbox_ids += run.outbox_ids
        return Outcome(202, ExternalRuns(runs=runs), outbox_ids=tuple(outbox_ids))

    return await once(deps, identity, request, key, work)


async def _locked(conn: Connection, source_id: SourceId) -> SourceView:
    source = await sources.lock_source(conn, source_id)
    if source is None:
        raise not_found("source")
    return source


async def _check_choice(conn: Connection, asked: list[SourceId], enabled: list[SourceId]) -> None:
    """Raises 404 for a source that is not the caller's, 422 for one that is paused or switched off."""
    errors = []
    for index, source_id in enumerate(asked):
        if source_id not in enabled:
            await living_source(conn, source_id)
            errors.append(
                FieldError(pointer=pointer("source_ids", index), detail="the source is paused or not enabled")
            )
    if errors:
        raise invalid(errors, hint="Resume or enable the source, or leave it out.")
