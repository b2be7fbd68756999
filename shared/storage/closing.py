"""Ending entities and runs. Completion is counted from ledger and marks, under the run's lock, never guessed.

Everybody who may have done the last step calls `try_close`; whoever is last ends the run, and calling it again is free.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.ids import Entity, RunId, RunStatus
from shared.contracts.messages import RunRequested
from shared.errors import Category, sentences
from shared.storage import outbox
from shared.storage.database import Connection, Database, Record
from shared.storage.deletes import DeleteOutcome, detect_deletes, forget_misses, live_rows
from shared.storage.queries import load_queries
from shared.storage.rows import RunHead, run_head

_SQL = load_queries("shared.storage", "closing.sql")

UNTIMED_OVERLAP = timedelta(hours=1)
"""Records without a change time: the next read starts this much before the run, by our clock."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an entity or a run ended badly; no secret, no vendor's body."""

    category: Category
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """What a close did. `outbox_ids` are to be published at once (the source's queued run may start now)."""

    run_ended: RunStatus | None = None
    entities_ended: tuple[Entity, ...] = ()
    outbox_ids: tuple[int, ...] = ()


async def try_close(db: Database, run_id: RunId) -> Closed:
    """End every entity whose chain is whole, and the run when all have ended."""
    async with db.for_run(run_id) as (conn, head):
        if head is None or head.status != "running":
            return Closed()
        if not await conn.fetch(_SQL["complete_entities"], run_id):
            return Closed()  # cheap and unlocked: whoever commits the last batch sees all of them
        locked = await _lock(conn, run_id)
        if locked is None or locked.status != "running":
            return Closed()
        ended: list[Entity] = []
        for row in await conn.fetch(_SQL["complete_entities"], run_id):
            await _end_complete(conn, locked, row["entity"])
            ended.append(row["entity"])
        return await _end_run_if_done(conn, locked, tuple(ended))


async def fail_entity(db: Database, run_id: RunId, entity: Entity | None, failure: Failure) -> Closed:
    """End an entity (None: all that are left) with an error. Rows that were committed stay; nothing is deleted."""
    async with db.for_run(run_id) as (conn, head):
        if head is None:
            return Closed()
        locked = await _lock(conn, run_id)
        if locked is None or locked.status not in ("queued", "running"):
            return Closed()
        ended: list[Entity] = []
        for state in await conn.fetch(_SQL["entity_states"], run_id):
            if state["status"] in ("queued", "running") and entity in (None, state["entity"]):
                await _end_entity(conn, locked, state["entity"], "failed", failure=failure)
                ended.append(state["entity"])
        return await _end_run_if_done(conn, locked, tuple(ended))


async def cancel_run(conn: Connection, run_id: RunId) -> Closed | None:
    """End an active run by a person's wish, in the caller's transaction. None: there is no such run for this tenant."""
    head = await _lock(conn, run_id)
    if head is None:
        return None
    if head.status not in ("queued", "running"):
        return Closed()
    ended: list[Entity] = []
    for state in await conn.fetch(_SQL["entity_states"], run_id):
        if state["status"] in ("queued", "running"):
            await _end_entity(conn, head, state["entity"], "cancelled")
            ended.append(state["entity"])
    await conn.fetchrow(_SQL["end_run"], run_id, "cancelled", None, None, None)
    if head.status == "running":
        await conn.execute(_SQL["calm_source"], head.source_id)
    return Closed("cancelled", tuple(ended), await _wake_queued(conn, head))


async def _lock(conn: Connection, run_id: RunId) -> RunHead | None:
    row = await conn.fetchrow(_SQL["lock_run"], run_id)
    return None if row is None else run_head(row)


async def _end_complete(conn: Connection, run: RunHead, entity: Entity) -> None:
    """All pages are committed: judge the counters, delete what vanished, move the cursor."""
    counts = await conn.fetchrow(_SQL["recount"], run.id, entity)
    state = next(row for row in await conn.fetch(_SQL["entity_states"], run.id) if row["entity"] == entity)
    assert counts is not None
    accounted = sum(
        counts[name] for name in ("inserted", "updated", "unchanged", "filtered", "duplicates", "quarantined")
    )
    if counts["read"] != accounted:
        failure = Failure(
            "INTERNAL_ERROR",
            f"{entity}: {counts['read']} records were read but {accounted} are accounted for",
            "Run a full sync; if it happens again, report it.",
        )
        await _end_entity(conn, run, entity, "failed", failure=failure, counts=counts)
        return
    full = state["mode"] == "full"
    if full and counts["read"] == 0 and (alive := await live_rows(conn, run.source_id, entity)) > 0:
        failure = Failure(
            "DATA_ERROR",
            f"{entity}: the source returned no records, but {alive} are known; nothing was deleted",
            "Check at the source that the records are still there and that URL and filters are right. Sync again.",
        )
        await _end_entity(conn, run, entity, "failed", failure=failure, counts=counts)
        return
    deletes = DeleteOutcome(0, None)
    # What was answered a while ago says neither what is gone by now nor up to when changes are known.
    fresh = not state["cached"]
    if full and fresh:
        deletes = await _delete_what_vanished(conn, run, entity, counts, stable_paging=state["stable_paging"])
    if not run.dry_run:
        if fresh and not state["targeted"]:  # a few ids say nothing about the changes of others
            await _move_cursor(conn, run, entity, counts["max_updated_at"], full=full)
        resolve = _SQL["resolve_all_quarantine" if full else "resolve_seen_quarantine"]
        await conn.execute(resolve, run.source_id, entity, run.id)
    status: RunStatus = "partial" if counts["quarantined"] or deletes.proposed is not None else "succeeded"
    await _end_entity(conn, run, entity, status, counts=counts, deletes=deletes)


async def _delete_what_vanished(
    conn: Connection, run: RunHead, entity: Entity, counts: Record, *, stable_paging: bool
) -> DeleteOutcome:
    live = await live_rows(conn, run.source_id, entity)
    if not run.dry_run and live == counts["inserted"] + counts["updated"] + counts["unchanged"]:
        # Each of these is a live row of its own, and there are no others: nothing vanished. The everyday case, without
        # a look at every key. (A row that somebody deleted meanwhile could hide another: the next full read finds it.)
        await forget_misses(conn, run.source_id, entity)
        return DeleteOutcome(0, None)
    keys_complete = counts["keyless"] == 0 and counts["keys"] == await conn.fetchval(
        _SQL["keys_remembered"], run.id, entity
    )
    if not keys_complete:
        return DeleteOutcome(0, None)
    # What is new says nothing about what was known: all keys of a source replaced by others are no small loss.
    known = live if run.dry_run else live - counts["inserted"]
    return await detect_deletes(conn, run, entity, known, stable_paging=stable_paging)


async def _move_cursor(conn: Connection, run: RunHead, entity: Entity, newest: datetime | None, *, full: bool) -> None:
    if run.started_at is None:
        return
    if newest is None:
        mapping = run.mappings.get(entity)
        if mapping is None or mapping.updated_at_path is not None:
            await conn.execute(_SQL["touch_cursor"], run.source_id, entity, full, run.id)
            return
        newest = run.started_at - UNTIMED_OVERLAP
    # A change time ahead of our own clock would make the next read skip what changes until then.
    until = min(newest, run.started_at)
    await conn.execute(_SQL["move_cursor"], run.source_id, entity, run.user_id, until, full, run.id)


async def _end_entity(
    conn: Connection,
    run: RunHead,
    entity: Entity,
    status: RunStatus,
    *,
    failure: Failure | None = None,
    counts: Record | None = None,
    deletes: DeleteOutcome | None = None,
) -> None:
    if counts is None:
        counts = await conn.fetchrow(_SQL["recount"], run.id, entity)
        assert counts is not None
    await conn.execute(
        _SQL["end_entity"], run.id, entity, status,
        counts["read"], counts["inserted"], counts["updated"], counts["unchanged"], counts["filtered"],
        counts["duplicates"], counts["quarantined"], counts["pages"], counts["bytes"],
        counts["deleted"] + (deletes.deleted if deletes else 0), deletes.proposed if deletes else None,
        failure.category if failure else None, failure.message if failure else None, failure.hint if failure else None,
    )  # fmt: skip


async def _end_run_if_done(conn: Connection, run: RunHead, ended: tuple[Entity, ...]) -> Closed:
    states = await conn.fetch(_SQL["entity_states"], run.id)
    if any(state["status"] in ("queued", "running") for state in states):
        return Closed(entities_ended=ended)
    statuses = {state["status"] for state in states}
    status: RunStatus
    if statuses == {"succeeded"}:
        status = "succeeded"
    elif statuses == {"failed"}:
        status = "failed"
    else:
        status = "partial"
    first = next((state for state in states if state["error_category"]), None)
    if run.status == "queued" and status != "failed":
        raise AssertionError("a run that never started can only fail")
    error = (first["error_category"], first["error_message"], first["error_hint"]) if first else (None, None, None)
    row = await conn.fetchrow(_SQL["end_run"], run.id, status, *error)
    assert row is not None
    if run.dry_run:
        await conn.execute(_SQL["calm_source"], run.source_id)
    else:
        sync_status = "success" if status == "succeeded" else status
        await conn.execute(
            _SQL["source_status"], run.source_id, sync_status, _sync_error(states), int(row["duration_ms"])
        )
    return Closed(status, ended, await _wake_queued(conn, run))


def _sync_error(states: list[Record]) -> str | None:
    """What a person reads on the source: what is wrong and what to do."""
    parts = [
        f"{state['error_category']}: {sentences(state['error_message'] or '', state['error_hint'])}"
        for state in states
        if state["error_category"]
    ]
    for state in states:
        if state["quarantined"]:
            parts.append(f"{state['entity']}: {state['quarantined']} records are in quarantine.")
        if state["delete_proposal"] is not None:
            parts.append(
                f"{state['entity']}: {state['delete_proposal']} rows vanished at the source and await approval."
            )
    return " ".join(dict.fromkeys(parts)) or None  # what ends all entities alike is said once


async def _wake_queued(conn: Connection, run: RunHead) -> tuple[int, ...]:
    """The source's queued run waited for this one: ask for its plan in the same transaction."""
    queued = await conn.fetchval(_SQL["queued_run"], run.source_id)
    if queued is None:
        return ()
    return (await outbox.add(conn, run.user_id, queued, "requests", RunRequested(run_id=queued)),)
