"""Answers of requests that came with an Idempotency-Key. The unique key, in the work's own transaction, decides."""

from dataclasses import dataclass

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "idempotency.sql")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the first request with this key was answered; `body` is the JSON object."""

    status: int
    location: str | None
    body: dict[str, object]


class KeyReusedError(Exception):
    """The key was used before with another request."""


async def claim(conn: Connection, user_id: UserId, key: str, request_hash: bytes) -> StoredAnswer | None:
    """None: the key is the caller's, who must `keep` the answer in this transaction. Else the answer of the first time.

    Waits while another transaction holds the key. Raises KeyReusedError when the hash (32 bytes) is another.
    """
    if await conn.fetchval(_SQL["claim"], user_id, key, request_hash):
        return None
    row = await conn.fetchrow(_SQL["stored"], user_id, key)
    if row is None or row["request_hash"] != request_hash:  # None: retention removed it just now
        raise KeyReusedError
    return StoredAnswer(row["status"], row["location"], row["response"])


async def keep(conn: Connection, user_id: UserId, key: str, answer: StoredAnswer) -> None:
    """Store the answer with the work that it reports."""
    await conn.execute(_SQL["keep"], user_id, key, answer.status, answer.location, answer.body)
