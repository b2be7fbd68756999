"""How a run was asked for, beyond what the API shows of it: a retry repeats that too."""

from typing import NamedTuple

from shared.contracts.ids import RunId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("services.gateway", "run_flags.sql")


class RunFlags(NamedTuple):
    """`force`: the cache was passed by; `dry_run`: nothing was written."""

    force: bool
    dry_run: bool


async def run_flags(conn: Connection, run_id: RunId) -> RunFlags:
    """Of a run that exists."""
    row = await conn.fetchrow(_SQL["flags"], run_id)
    assert row is not None
    return RunFlags(row["force"], row["dry_run"])
