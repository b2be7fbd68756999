"""Calls per upstream account and minute: the limiter's memory when Redis has lost its own."""

from shared.storage.database import Connection, Database
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "upstream_calls.sql")


async def add_calls(conn: Connection, scope: str, calls: int) -> None:
    """Count calls made now on this account."""
    if calls:
        await conn.execute(_SQL["add"], scope, calls)


async def calls_of_last_hour(db: Database, scope: str) -> list[tuple[float, int]]:
    """(Unix time, calls) per minute, oldest first; the time is the latest at which those calls can have been made."""
    async with db.transaction() as conn:
        return [(row["until"], row["calls"]) for row in await conn.fetch(_SQL["last_hour"], scope)]


async def forget_old_calls(conn: Connection) -> None:
    """Retention: the longest window is an hour."""
    await conn.execute(_SQL["forget"])
