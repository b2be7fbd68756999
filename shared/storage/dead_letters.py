"""Messages that could not be handled, each with its reason: kept for replay."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from shared.contracts.ids import Entity, RunId, SourceId, UserId
from shared.errors import Category
from shared.storage.database import Connection
from shared.storage.queries import load_queries
from shared.storage.rows import RunHead

_LETTERS = UUID("6f7d3c52-8a1e-5a0b-9c66-0d2b7f0c4e11")
"""Namespace of the ids that a letter's own content gives it."""
_SQL = load_queries("shared.storage", "dead_letters.sql")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message as it left its queue."""

    queue: str
    kind: str
    category: Category
    reason: str
    body: bytes


async def store(conn: Connection, letter: DeadLetter, run: RunHead | None, entity: Entity | None) -> UUID:
    """Keep it, under its run's tenant where it names a run we know."""
    name = "\0".join((letter.queue, letter.kind, letter.reason, hashlib.sha256(letter.body).hexdigest()))
    stored: UUID = await conn.fetchval(
        _SQL["store"],
        uuid5(_LETTERS, name),
        run.user_id if run else None, run.id if run else None, run.source_id if run else None, entity,
        letter.queue, letter.kind, letter.category, letter.reason, letter.body,
    )  # fmt: skip
    return stored


class DeadLetterView(BaseModel):
    """A letter as administrators see it: where it died and why, without its content, which is its tenant's."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    user_id: UserId | None
    run_id: RunId | None
    source_id: SourceId | None
    entity: Entity | None
    queue: str
    kind: str
    category: str
    reason: str
    bytes: int
    created_at: datetime
    replayed_at: datetime | None
    replay_run_id: RunId | None


async def list_letters(
    conn: Connection, *, include_replayed: bool, limit: int, before: tuple[datetime, UUID] | None
) -> list[DeadLetterView]:
    """Newest first; `before` is (created_at, id) of the last one already seen."""
    at, letter_id = before or (None, None)
    rows = await conn.fetch(_SQL["list"], None, include_replayed, at, letter_id, limit)
    return [DeadLetterView.model_validate(dict(row)) for row in rows]


async def lock_letter(conn: Connection, letter_id: UUID) -> tuple[DeadLetterView, bytes] | None:
    """A letter and its content, held until the transaction ends; None when this role may not see it."""
    body = await conn.fetchval(_SQL["lock"], letter_id)
    row = None if body is None else await conn.fetchrow(_SQL["list"], letter_id, True, None, None, 1)
    return None if row is None else (DeadLetterView.model_validate(dict(row)), body)


async def mark_replayed(conn: Connection, letter_id: UUID, run_id: RunId | None) -> None:
    """`run_id`: of the new run; None when the message itself was published again."""
    await conn.execute(_SQL["mark_replayed"], letter_id, run_id)


async def remove(conn: Connection, letter_id: UUID) -> None:
    """Nobody wants it any more."""
    await conn.execute(_SQL["remove"], letter_id)
