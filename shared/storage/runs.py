"""The run ledger: asking for a run, starting it, and who may have one. One running and one queued run per source."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from shared.contracts.ids import Entity, Mode, RunId, RunStatus, SourceId, Trigger, UserId
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import RunRequested
from shared.errors import PoisonMessageError
from shared.storage import outbox
from shared.storage.database import Connection, Record
from shared.storage.queries import load_queries
from shared.storage.rows import RunHead, run_head

_SQL = load_queries("shared.storage", "runs.sql")


@dataclass(frozen=True, slots=True)
class RunAsk:
    """What somebody asks for. `run_id` lets a caller ask twice and get one run."""

    source_id: SourceId
    user_id: UserId
    source_type: str
    entities: tuple[Entity, ...]
    trigger: Trigger
    mode: Mode = "incremental"
    force: bool = False
    dry_run: bool = False
    run_id: RunId | None = None
    targeted: bool = False
    """Webhooks ask: only what changed has to be read. With any other ask beside it the run is whole."""


@dataclass(frozen=True, slots=True)
class RequestedRun:
    """The run that will serve the ask. `conflict`: another is active and the ask was not merged into it."""

    run_id: RunId
    created: bool
    conflict: bool
    outbox_ids: tuple[int, ...] = ()


async def request_run(conn: Connection, ask: RunAsk, *, merge: bool) -> RequestedRun:
    """Write the run and its outbox row, in the caller's transaction.

    merge=True: an ask that finds a queued run widens it. merge=False: an active run is a conflict that names it.
    Raises PoisonMessageError when the source is gone, or `ask.run_id` is a run of another source.
    """
    if await conn.fetchrow(_SQL["lock_source"], ask.source_id) is None:
        raise PoisonMessageError("no such source for this user")
    if ask.run_id is not None:
        known = await conn.fetchrow(_SQL["run_by_id"], ask.run_id)
        if known is not None:
            if known["source_id"] != ask.source_id:
                raise PoisonMessageError("run_id belongs to another source")
            return RequestedRun(ask.run_id, created=False, conflict=False)
    active = {row["status"]: RunId(row["id"]) for row in await conn.fetch(_SQL["active_runs"], ask.source_id)}
    if active and not merge:
        return RequestedRun(active.get("running") or active["queued"], created=False, conflict=True)
    if "queued" in active:
        run_id = active["queued"]
        await conn.execute(_SQL["widen_run"], run_id, ask.mode, ask.force, ask.dry_run, ask.targeted, ask.trigger)
        await conn.execute(_SQL["insert_entities"], run_id, ask.user_id, list(ask.entities), ask.mode)
        return RequestedRun(run_id, created=False, conflict=False)
    run_id = ask.run_id or RunId(uuid4())
    await conn.execute(
        _SQL["insert_run"],
        run_id, ask.user_id, ask.source_id, ask.source_type, ask.trigger, ask.mode, ask.force, ask.dry_run,
        ask.targeted,
    )  # fmt: skip
    await conn.execute(_SQL["insert_entities"], run_id, ask.user_id, list(ask.entities), ask.mode)
    outbox_id = await outbox.add(conn, ask.user_id, run_id, "requests", RunRequested(run_id=run_id))
    return RequestedRun(run_id, created=True, conflict=False, outbox_ids=(outbox_id,))


@dataclass(frozen=True, slots=True)
class PlanSource:
    """The source as a plan needs it; its row is locked until the transaction ends."""

    source_type: str
    config: dict[str, Any]
    field_mappings: dict[str, Any]
    mapping_version: int
    full_sync_every: str | None
    is_deleted: bool
    cursors: Mapping[Entity, Record]
    """changed_until; read_at (null: before it was kept); last_full_at (null: never)."""


async def source_for_plan(conn: Connection, source_id: SourceId) -> PlanSource | None:
    """Lock the source; None when there is no such row under this tenant."""
    row = await conn.fetchrow(_SQL["source_for_plan"], source_id)
    if row is None:
        return None
    cursors = {record["entity"]: record for record in await conn.fetch(_SQL["cursors"], source_id)}
    return PlanSource(
        source_type=row["source_type"],
        config=row["config"],
        field_mappings=row["field_mappings"],
        mapping_version=row["mapping_version"],
        full_sync_every=row["full_sync_every"],
        is_deleted=row["is_deleted"],
        cursors=cursors,
    )


async def lock_queued(conn: Connection, run_id: RunId) -> RunHead | None:
    """The run as it is now, if it still waits to be started; it does until the transaction ends."""
    row = await conn.fetchrow(_SQL["lock_queued"], run_id)
    return None if row is None else run_head(row)


async def another_is_running(conn: Connection, source_id: SourceId, run_id: RunId) -> bool:
    """True when a different run of this source is running: this one waits for its end."""
    return await conn.fetchval(_SQL["other_running"], source_id, run_id) is not None


async def was_read(conn: Connection, source_id: SourceId, entity: Entity) -> bool:
    """Whether the entity has ever been read in full: before that, nothing else counts as its first read."""
    return bool(await conn.fetchval(_SQL["was_read"], source_id, entity))


async def entities_of(conn: Connection, run_id: RunId) -> tuple[Entity, ...]:
    """The entities that were asked for."""
    return tuple(row["entity"] for row in await conn.fetch(_SQL["entities_of"], run_id))


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """How one entity is read in this run. `since` None: from the beginning. `targets`: these ids and nothing else;
    `targets_deleted`: those of them that the source itself called deleted."""

    entity: Entity
    mode: Mode
    since: datetime | None
    stable_paging: bool
    targets: tuple[str, ...] | None = None
    targets_deleted: tuple[str, ...] = ()


async def start_run(
    conn: Connection,
    run_id: RunId,
    source_id: SourceId,
    mode: Mode,
    config: Mapping[str, Any],
    mappings: Mapping[Entity, EntityMapping],
    plans: tuple[EntityPlan, ...],
) -> None:
    """queued -> running, with the config and mappings frozen into the run and the next run_seq as its fence.

    `mode`: as the run is carried out, which may be more than was asked for.
    """
    run_seq = await conn.fetchval(_SQL["next_run_seq"], source_id)
    frozen = {entity: mapping.model_dump(mode="json") for entity, mapping in mappings.items()}
    await conn.execute(_SQL["start_run"], run_id, run_seq, dict(config), frozen, mode)
    for plan in plans:
        targets = None if plan.targets is None else list(plan.targets)
        await conn.execute(
            _SQL["start_entity"],
            run_id,
            plan.entity,
            plan.mode,
            plan.since,
            plan.stable_paging,
            targets,
            list(plan.targets_deleted),
        )


async def running_entities(conn: Connection, run_id: RunId) -> tuple[EntityPlan, ...]:
    """The entities of a run that have not ended."""
    rows = await conn.fetch(_SQL["running_entities"], run_id)
    return tuple(
        EntityPlan(
            row["entity"],
            row["mode"],
            row["since"],
            row["stable_paging"],
            None if row["targets"] is None else tuple(row["targets"]),
            tuple(row["targets_deleted"]),
        )
        for row in rows
    )


async def set_waiting(conn: Connection, run_id: RunId, entity: Entity, waiting_on: str, resume_at: datetime) -> None:
    """Say why an entity rests and until when; the reaper leaves it alone that long."""
    await conn.execute(_SQL["set_waiting"], run_id, entity, waiting_on, resume_at)


async def clear_waiting(conn: Connection, run_id: RunId, entity: Entity) -> None:
    """The entity works again."""
    await conn.execute(_SQL["clear_waiting"], run_id, entity)


async def touch(conn: Connection, run_id: RunId, entity: Entity) -> bool:
    """A long step is alive: the reaper leaves it alone. False when the entity has ended: nobody wants it any more."""
    return await conn.fetchval(_SQL["touch"], run_id, entity) is not None


async def read_whole(conn: Connection, run_id: RunId, entity: Entity) -> None:
    """A running entity's incremental read becomes a full one, from its first page on."""
    await conn.execute(_SQL["read_whole"], run_id, entity)


async def count_calls(conn: Connection, run: RunHead, entity: Entity, calls: int, hits: int = 0) -> None:
    """Add calls made to the vendor, on the source's counters too, and answers taken from the cache instead. A step that
    made any is progress.
    """
    await conn.execute(_SQL["count_calls"], run.id, entity, calls, hits, run.source_id)


async def claim_stalled(conn: Connection, seconds: float) -> tuple[tuple[RunId, int], ...]:
    """Running runs in which nothing happened for that long, and that wait for nothing: each for one caller.

    With each, how often it was claimed, this time included.
    """
    return tuple((row["id"], row["replans"]) for row in await conn.fetch(_SQL["claim_stalled"], seconds))


async def forgotten_runs(conn: Connection, seconds: float) -> tuple[RunId, ...]:
    """Queued runs that nothing holds back and whose message seems lost."""
    return tuple(row["id"] for row in await conn.fetch(_SQL["forgotten"], seconds))


async def active_runs(conn: Connection) -> tuple[tuple[RunId, RunStatus], ...]:
    """Every queued or running run of every tenant: for the scheduler alone."""
    return tuple((row["id"], row["status"]) for row in await conn.fetch(_SQL["active"]))
