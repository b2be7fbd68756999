"""Messages that could not be handled, each with its reason: kept for replay."""

import hashlib
from dataclasses import dataclass
from uuid import UUID, uuid5

from shared.contracts.ids import Entity
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
