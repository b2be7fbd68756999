"""Webhooks: who may sign, what was delivered, and which changes wait for a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.contracts.ids import Entity, RunId, SourceId, UserId
from shared.storage.database import Connection, Database, Record
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "webhooks.sql")


@dataclass(frozen=True, slots=True)
class Signer:
    """A source that takes webhooks. `box`: its sealed signing secret; `realm`: of a QuickBooks company, once known."""

    source_id: SourceId
    user_id: UserId
    box: str
    entities: tuple[Entity, ...]
    realm: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One event. `external_id` None: something of the entity changed."""

    entity: Entity
    external_id: str | None
    op: Literal["upsert", "delete"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Changes that `signer` has proven to send. `digest` (32 bytes): one with it is taken once; None: each time."""

    signer: Signer
    digest: bytes | None
    changes: Sequence[Change]


Taken = Literal["taken", "replayed", "outdated"]
"""What became of a delivery. `outdated`: the signer's secret was replaced or its source deleted; nothing is kept."""

MAX_TARGETS = 200
"""Ids that are worth a read of their own; beyond, reading all that changed costs less."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the events of one entity that a run has taken ask for."""

    ids: tuple[str, ...] | None
    """In their order. None: an event named none, or they are more than `MAX_TARGETS`, or a run before failed on them:
    one id that always fails must not fail each run after."""
    deletes: bool
    """One of them says that something was deleted."""
    deleted: tuple[str, ...] = ()
    """Those of `ids` that an event says were deleted."""


@dataclass(frozen=True, slots=True)
class WaitingSource:
    """A source whose events nobody serves yet, and their entities."""

    source_id: SourceId
    user_id: UserId
    source_type: str
    entities: tuple[Entity, ...]


async def keep_secret(conn: Connection, source_id: SourceId, user_id: UserId, box: str) -> None:
    """Store the sealed secret in place of an older one, which signs nothing any more."""
    # Not an upsert: that would ask for the right to read what is stored, which the gateway does not have.
    await conn.execute(_SQL["drop_secret"], source_id)
    await conn.execute(_SQL["keep_secret"], source_id, user_id, box)


async def find_signers(db: Database, source_ids: Sequence[SourceId]) -> dict[SourceId, Signer]:
    """Those of the sources that take webhooks, whoever's they are; needs no tenant."""
    return {row["source_id"]: _signer(row) for row in await db.fetch(_SQL["find"], source_ids)}


async def find_app_signers(db: Database, client_id: str) -> list[Signer]:
    """QuickBooks sources of one app, of all tenants; needs no tenant."""
    return [_signer(row, row["realm"]) for row in await db.fetch(_SQL["find_app"], client_id)]


def _signer(row: Record, realm: str | None = None) -> Signer:
    return Signer(row["source_id"], row["user_id"], row["box"], tuple(row["entities"]), realm)


async def take_deliveries(db: Database, deliveries: Sequence[Delivery]) -> list[Taken]:
    """Keep the changes of many deliveries, of any tenants, in one transaction; what became of each, in order."""
    events = [(place, change) for place, each in enumerate(deliveries, 1) for change in each.changes]
    rows = await db.fetch(
        _SQL["take_deliveries"],
        [each.signer.source_id for each in deliveries],
        [each.signer.box for each in deliveries],
        [each.digest for each in deliveries],
        [place for place, _ in events],
        [change.entity for _, change in events],
        [change.external_id for _, change in events],
        [change.op for _, change in events],
    )
    found = {row["place"]: row["fresh"] for row in rows}
    outcomes: dict[bool | None, Taken] = {True: "taken", False: "replayed", None: "outdated"}
    return [outcomes[found.get(place)] for place in range(1, len(deliveries) + 1)]


async def needed_run(db: Database, source_id: SourceId) -> WaitingSource | None:
    """The waiting events of a source that no queued run will take; None: there are none, or the source rests."""
    rows = await db.fetch(_SQL["need"], source_id)
    return _waiting(rows[0]) if rows else None


async def claim_changes(
    conn: Connection, source_id: SourceId, run_id: RunId, entities: Sequence[Entity]
) -> dict[Entity, Claim]:
    """Give the waiting events of these entities to the run, which is about to read them; what they are, by entity.

    Events of the last day are given again where the run that took them failed to read the entity, or was cancelled.
    """
    rows = await conn.fetch(_SQL["claim"], source_id, run_id, list(entities), MAX_TARGETS)
    return {
        row["entity"]: Claim(
            ids=tuple(row["ids"]) if row["named"] and not row["again"] and len(row["ids"]) <= MAX_TARGETS else None,
            deletes=row["deletes"],
            deleted=tuple(row["deleted"]),
        )
        for row in rows
    }


async def waiting_sources(conn: Connection, older_than: float, limit: int) -> list[WaitingSource]:
    """Sources whose events wait for longer than these seconds, though a run may be asked for: for the scheduler."""
    return [_waiting(row) for row in await conn.fetch(_SQL["waiting_sources"], older_than, limit)]


def _waiting(row: Record) -> WaitingSource:
    return WaitingSource(row["id"], row["user_id"], row["source_type"], tuple(row["entities"]))


async def forget_old(conn: Connection) -> None:
    """Deliveries that are too old to be replayed, events that were served."""
    await conn.execute(_SQL["forget_deliveries"])
    await conn.execute(_SQL["forget_events"])
