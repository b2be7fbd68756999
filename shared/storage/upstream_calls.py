"""Calls per upstream account and minute: the limiter's memory when Redis has lost its own."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from shared.storage.database import Connection, Database
from shared.storage.queries import load_queries

MAX_ACCOUNTS = 500

_SQL = load_queries("shared.storage", "upstream_calls.sql")


class AccountUse(BaseModel):
    """One upstream account and limit class, with the calls of the clock's minute and of the last hour."""

    model_config = ConfigDict(frozen=True)

    scope: str
    this_minute: int
    last_hour: int
    last_call_minute: datetime


async def add_calls(conn: Connection, scope: str, calls: int) -> datetime:
    """Count calls that are about to be made on this account; the minute in which they are counted."""
    minute: datetime = await conn.fetchval(_SQL["add"], scope, calls)
    return minute


async def take_back(conn: Connection, scope: str, minute: datetime) -> None:
    """One call that was counted in that minute was not made."""
    await conn.execute(_SQL["take_back"], scope, minute)


async def calls_of_last_hour(db: Database, scope: str) -> list[tuple[float, int]]:
    """(Unix time, calls) per minute, oldest first; the time is the latest at which those calls can have been made."""
    async with db.transaction() as conn:
        return [(row["until"], row["calls"]) for row in await conn.fetch(_SQL["last_hour"], scope)]


async def forget_old_calls(conn: Connection) -> None:
    """Retention: the longest window is an hour."""
    await conn.execute(_SQL["forget"])


async def calls_by_account(conn: Connection) -> list[AccountUse]:
    """Accounts that were called within the last hour, at most MAX_ACCOUNTS, by name; for an operator's transaction."""
    return [AccountUse.model_validate(dict(row)) for row in await conn.fetch(_SQL["by_account"], MAX_ACCOUNTS)]
