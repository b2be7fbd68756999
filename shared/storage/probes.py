"""Connection tests that wait for the fetcher: rows that live two minutes and carry what a message must not."""

from collections.abc import Mapping
from uuid import UUID

from shared.contracts.ids import SourceId, UserId
from shared.storage import cache_rules
from shared.storage.database import Connection
from shared.storage.queries import load_queries
from shared.storage.sealed_sources import SealedSource

_SQL = load_queries("shared.storage", "probes.sql")


async def insert_unsaved(
    conn: Connection,
    probe_id: UUID,
    user_id: UserId,
    source_type: str,
    config: Mapping[str, object],
    sealed: Mapping[str, object],
) -> None:
    """Credentials that are not stored anywhere else, sealed for `Context(user_id, probe_id, origins of config)`."""
    await conn.execute(_SQL["insert"], probe_id, user_id, source_type, dict(config), dict(sealed), None)


async def insert_stored(
    conn: Connection,
    probe_id: UUID,
    user_id: UserId,
    source_type: str,
    config: Mapping[str, object],
    source_id: SourceId,
) -> None:
    """A stored source: the fetcher opens that source's own credentials."""
    await conn.execute(_SQL["insert"], probe_id, user_id, source_type, dict(config), None, source_id)


async def remove(conn: Connection, probe_id: UUID) -> None:
    """Answered or given up."""
    await conn.execute(_SQL["remove"], probe_id)


async def load(conn: Connection, probe_id: UUID) -> SealedSource | None:
    """For the fetcher: what to try. Binds the transaction to the probe's tenant; None when it is gone or too old."""
    await conn.execute(_SQL["bind"], probe_id)
    row = await conn.fetchrow(_SQL["load"], probe_id)
    if row is None:
        return None
    return SealedSource(
        box_id=row["source_id"] or row["id"],
        user_id=row["user_id"],
        source_type=row["source_type"],
        config=row["config"],
        credentials=row["credentials"],
        rate_limit=row["rate_limit"],
        # A source that is not saved has no place in the cache, and nobody who would purge it.
        cache=None if row["source_id"] is None else await cache_rules.of_source(conn, row["source_id"]),
    )
