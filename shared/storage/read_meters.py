"""Reads that a vendor counts by the calendar month: how many were made, by account, source and allowance."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries
from shared.storage.upstream_calls import MAX_ACCOUNTS

_SQL = load_queries("shared.storage", "read_meters.sql")


class MonthlyReads(BaseModel):
    """One source's reads in the newest month in which it was read. `month`: `YYYY-MM` on the vendor's calendar."""

    model_config = ConfigDict(frozen=True)

    month: str
    reads: int


class AccountReads(BaseModel):
    """One account's reads in the newest month in which it was read, and those of all that share its allowance."""

    model_config = ConfigDict(frozen=True)

    account: str
    pool: str
    month: str
    reads: int
    pool_reads: int


async def count_reads(
    conn: Connection, source_id: UUID, user_id: UserId, account: str, pool: str, zone: str, reads: int
) -> date:
    """Count reads that are about to be made, in the vendor's month of now; the first day of that month."""
    month: date = await conn.fetchval(_SQL["count"], source_id, account, zone, user_id, pool, reads)
    return month


async def take_back(conn: Connection, source_id: UUID, account: str, month: date) -> None:
    """One read that was counted in that month was not made."""
    await conn.execute(_SQL["take_back"], source_id, account, month)


async def reads_by_account(conn: Connection) -> list[AccountReads]:
    """At most MAX_ACCOUNTS, by name; for an operator's transaction."""
    return [AccountReads.model_validate(dict(row)) for row in await conn.fetch(_SQL["by_account"], MAX_ACCOUNTS)]


async def forget_old_reads(conn: Connection) -> None:
    """Retention: a year to look back on, and the month that is running."""
    await conn.execute(_SQL["forget"])
