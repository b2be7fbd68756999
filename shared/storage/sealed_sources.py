"""Sources as the fetcher needs them: configuration, sealed credentials, limits. Only the fetcher's role may ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.ids import Entity, SourceId, UserId
from shared.errors import ConfigurationError
from shared.storage import cache_rules
from shared.storage.cache_rules import CacheRule
from shared.storage.database import Connection
from shared.storage.queries import load_queries
from shared.storage.rows import RunHead

_SQL = load_queries("shared.storage", "sealed_sources.sql")


@dataclass(frozen=True, slots=True)
class SealedSource:
    """What a step needs before anything is opened."""

    box_id: SourceId
    """What the sealed box is bound to: the source, or the probe that stands for one."""
    user_id: UserId
    source_type: str
    config: Mapping[str, Any]
    credentials: Mapping[str, Any] | None
    rate_limit: Mapping[str, Any]
    cache: CacheRule | None = None
    """What the step may do with kept answers; None: neither use nor keep any."""


async def of_run(conn: Connection, run: RunHead, entity: Entity, *, targeted: bool) -> SealedSource:
    """The run's source for the next step of an entity, with the config that was frozen when the run started."""
    row = await conn.fetchrow(_SQL["of_source"], run.source_id)
    if row is None:
        raise ConfigurationError("the source was deleted")
    return SealedSource(
        box_id=run.source_id,
        user_id=row["user_id"],
        source_type=row["source_type"],
        config=run.config or {},
        credentials=row["credentials"],
        rate_limit=row["rate_limit"],
        cache=await cache_rules.of_run(conn, run, entity, targeted=targeted),
    )
