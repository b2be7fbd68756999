"""Browser sessions that were signed out of before their end."""

import hashlib
from datetime import datetime

from shared.storage.database import Connection, Database
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "ended_sessions.sql")


async def end_session(db: Database, secret: str, expires_at: datetime) -> None:
    """From now on the session of this secret, which ends at `expires_at` by itself, counts no more."""
    await db.fetch(_SQL["end"], _hash(secret), expires_at)


async def has_ended(db: Database, secret: str) -> bool:
    """True for a session that was ended. Raises PlatformAwayError when nobody can tell."""
    (row,) = await db.fetch(_SQL["has_ended"], _hash(secret))
    return bool(row["ended"])


async def forget_ended(conn: Connection) -> None:
    """Those that are over by themselves, by any clock."""
    await conn.execute(_SQL["forget"])


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
