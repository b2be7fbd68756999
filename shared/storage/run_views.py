"""Runs as the API shows them."""

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.contracts.ids import Entity, Mode, RunId, RunStatus, SourceId, Trigger, WaitingOn
from shared.storage.database import Connection, Record
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "run_views.sql")
_COUNTERS = (
    "read", "inserted", "updated", "unchanged", "deleted", "filtered", "duplicates", "quarantined", "pages", "bytes",
)  # fmt: skip


class EntityView(BaseModel):
    """One entity's counters; once ended, `read` is the sum of the six outcomes (all but `deleted`)."""

    model_config = ConfigDict(frozen=True)

    status: RunStatus
    mode: Mode
    """As it is read: in full also where nothing else would do, whatever the run's mode is."""
    read: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    filtered: int
    duplicates: int
    quarantined: int
    pages: int
    bytes: int
    delete_proposal: int | None
    missing: int
    """Ids that webhooks named as changed and the source did not have: their rows were left alone."""


class RunError(BaseModel):
    """What went wrong and what to do."""

    model_config = ConfigDict(frozen=True)

    category: str
    message: str
    hint: str | None


class RunView(BaseModel):
    """A run with its entities."""

    model_config = ConfigDict(frozen=True)

    id: RunId
    source_id: SourceId
    source_type: str
    trigger: Trigger
    mode: Mode
    status: RunStatus
    waiting_on: WaitingOn | None
    resume_at: datetime | None
    entities: dict[Entity, EntityView]
    api_calls: int
    cache_hits: int
    error: RunError | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


async def load_run(conn: Connection, run_id: RunId) -> RunView | None:
    """One run; None when this role may not see it."""
    views = await _views(conn, await conn.fetch(_SQL["runs"], run_id, None, None, None, 1))
    return views[0] if views else None


async def list_runs(
    conn: Connection, *, source_id: SourceId | None = None, limit: int, before: tuple[datetime, UUID] | None
) -> list[RunView]:
    """Newest first; `before` is (requested_at, id) of the last one already seen."""
    at, run_id = before or (None, None)
    return await _views(conn, await conn.fetch(_SQL["runs"], None, source_id, at, run_id, limit))


async def _views(conn: Connection, heads: list[Record]) -> list[RunView]:
    entities: defaultdict[UUID, list[Record]] = defaultdict(list)
    for row in await conn.fetch(_SQL["entities"], [head["id"] for head in heads]):
        entities[row["run_id"]].append(row)
    return [_view(head, entities[head["id"]]) for head in heads]


def _view(head: Record, entities: list[Record]) -> RunView:
    # A run waits when all of its unfinished entities wait; then it goes on when the first of them does.
    unfinished = [row for row in entities if row["status"] in ("queued", "running")]
    waiting = [row for row in unfinished if row["waiting_on"] is not None]
    rests = min(waiting, key=lambda row: row["resume_at"]) if waiting and len(waiting) == len(unfinished) else None
    return RunView(
        id=head["id"],
        source_id=head["source_id"],
        source_type=head["source_type"],
        trigger=head["trigger"],
        mode=head["mode"],
        status=head["status"],
        waiting_on=rests["waiting_on"] if rests else "broker" if head["unpublished"] else None,
        resume_at=rests["resume_at"] if rests else None,
        entities={
            row["entity"]: EntityView(
                status=row["status"],
                mode=row["mode"],
                delete_proposal=row["delete_proposal"],
                missing=row["missing"],
                **{name: row[name] for name in _COUNTERS},
            )
            for row in entities
        },
        api_calls=sum(row["api_calls"] for row in entities),
        cache_hits=sum(row["cache_hits"] for row in entities),
        error=RunError(category=head["error_category"], message=head["error_message"], hint=head["error_hint"] or None)
        if head["error_category"]
        else None,
        requested_at=head["requested_at"],
        started_at=head["started_at"],
        finished_at=head["finished_at"],
    )
