"""When a step may use kept answers of vendors, by what the ledger knows; and forgetting a source's answers."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from shared.contracts.ids import Entity, SourceId, UserId
from shared.errors import ConfigurationError
from shared.storage.database import Connection
from shared.storage.queries import load_queries
from shared.storage.rows import RunHead

_SQL = load_queries("shared.storage", "cache_rules.sql")

CacheUse = Literal["first", "stand_in", "never"]
"""`first`: instead of a call. `stand_in`: only where the rate limit would have the step wait. `never`: not at all."""


@dataclass(frozen=True, slots=True)
class CacheRule:
    """What one step of one source may do with kept answers. Every step of a run keeps what it reads."""

    source_id: SourceId
    user_id: UserId
    ttl: int
    """Seconds."""
    secret: UUID
    """Names and closes the source's answers, until they are forgotten."""
    use: CacheUse
    run_seq: int | None = None
    """Of the run that the step is of; None for a test or a preview, whose answers are good for tests and previews."""
    kept_since: int | None = None
    """The oldest run whose answers are good for this one; None (with `run_seq`): no run's are."""
    conditional: bool = True
    """May ask the vendor whether a kept answer still holds."""
    used: bool = False
    """The read that the step belongs to has used kept answers."""

    def good_for_use(self, kept_by: int | None) -> bool:
        """Whether the answer that this run kept (None: a test did) may be used.

        What a run wrote must not be overwritten by what was answered before it: so the answer is of the last run that
        read the entity at the vendor, or newer. Not of this run: a page that is read again is read anew.
        """
        if self.use == "never":
            return False
        if self.run_seq is None:
            return True
        return kept_by is not None and self.kept_since is not None and self.kept_since <= kept_by < self.run_seq


async def of_run(conn: Connection, run: RunHead, entity: Entity, *, targeted: bool) -> CacheRule | None:
    """The rule for the next step of this entity. None: the source keeps nothing, or the step reads a few ids, of which
    a webhook has just said that they changed.

    Of one read the beginning may come from the cache, never a page after one that was read anew: what a later page
    says of a record wins.
    """
    if targeted:
        return None
    row = await conn.fetchrow(_SQL["of_entity"], run.id, entity)
    if row is None:
        raise ConfigurationError("the source was deleted")
    use: CacheUse = "first" if run.trigger == "manual" else "stand_in"
    if run.force or row["told"] or row["api_calls"] or not row["last_was_good"]:
        use = "never"
    if row["ttl"] == 0:
        return None
    return CacheRule(
        source_id=run.source_id,
        user_id=run.user_id,
        ttl=row["ttl"],
        secret=row["secret"],
        use=use,
        run_seq=run.run_seq,
        kept_since=row["last_seq"],
        conditional=not run.force,
        used=row["cache_hits"] > 0,
    )


async def of_source(conn: Connection, source_id: SourceId) -> CacheRule | None:
    """The rule for a test or a preview of a stored source; None when it is gone or keeps nothing.

    After a run that did not succeed the person wants to know whether the source answers now.
    """
    row = await conn.fetchrow(_SQL["of_source"], source_id)
    if row is None or row["ttl"] == 0:
        return None
    use: CacheUse = "first" if row["last_was_good"] else "never"
    return CacheRule(source_id, row["user_id"], row["ttl"], row["secret"], use)


async def forget(conn: Connection, source_id: SourceId) -> None:
    """From the commit on nobody can use or open what was kept for the source; a fetcher then removes it."""
    owner = await conn.fetchval(_SQL["forget"], source_id)
    if owner is not None:
        await conn.execute(_SQL["ask_purge"], source_id, owner)


async def take_purges(conn: Connection, at_most: int) -> tuple[SourceId, ...]:
    """Sources to purge, of any tenant: they are this transaction's, and somebody else's again if it fails."""
    return tuple(row["source_id"] for row in await conn.fetch(_SQL["take_purges"], at_most))
