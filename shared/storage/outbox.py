"""Messages that wait in the database for the broker: written with their run, removed once confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.ids import RunId, UserId
from shared.contracts.messages import MessageModel, encode_json
from shared.storage.database import Connection, Record
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "outbox.sql")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to publish."""

    id: int
    queue: str
    kind: str
    body: bytes


async def add(conn: Connection, user_id: UserId, run_id: RunId, queue: str, message: MessageModel) -> int:
    """Write a message with the caller's transaction; returns its id, for publishing at once."""
    body = message.model_dump(mode="json")
    added: int = await conn.fetchval(_SQL["add"], user_id, run_id, queue, message.KIND, body)
    return added


async def add_again(conn: Connection, kind: str, body: bytes) -> int:
    """A public request that died, byte for byte: it names no run, and may be no JSON. Only an operator may."""
    added: int = await conn.fetchval(_SQL["add_again"], kind, body)
    return added


def _rows(records: Sequence[Record]) -> tuple[OutboxRow, ...]:
    return tuple(
        OutboxRow(row["id"], row["queue"], row["kind"], encode_json(row["body"]) if row["raw"] is None else row["raw"])
        for row in records
    )


async def take(conn: Connection, ids: Sequence[int]) -> tuple[OutboxRow, ...]:
    """Lock these rows, leaving out what another publisher holds."""
    return _rows(await conn.fetch(_SQL["take"], list(ids)))


async def take_due(conn: Connection, older_than: float, limit: int) -> tuple[OutboxRow, ...]:
    """Lock rows that wait longer than `older_than` seconds: their writer failed to publish them."""
    return _rows(await conn.fetch(_SQL["take_due"], older_than, limit))


async def remove(conn: Connection, ids: Sequence[int]) -> None:
    """Published and confirmed."""
    await conn.execute(_SQL["remove"], list(ids))


async def depth(conn: Connection) -> tuple[int, float]:
    """Rows waiting, and the age of the oldest in seconds."""
    row = await conn.fetchrow(_SQL["depth"])
    assert row is not None
    return row["depth"], row["oldest"]
