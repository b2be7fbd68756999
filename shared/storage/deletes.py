"""Delete detection: only after a complete full read, only what nobody saw, only below the threshold."""

from dataclasses import dataclass

from shared.contracts.ids import Entity, SourceId
from shared.storage.database import Connection
from shared.storage.queries import fill, load_queries
from shared.storage.rows import RunHead

_SQL = load_queries("shared.storage", "closing.sql")


@dataclass(frozen=True, slots=True)
class DeleteOutcome:
    """Rows soft-deleted, or the number proposed because it is above the threshold."""

    deleted: int
    proposed: int | None


def above_threshold(vanished: int, live: int) -> bool:
    """More than 10% and more than 20 rows, or more than half and at least 3: a person has to approve.

    `live` are the rows that were there before the read.
    """
    return (vanished > 20 and vanished * 10 > live) or (vanished >= 3 and vanished * 2 > live)


def _for_table(name: str, entity: Entity) -> str:
    return fill(_SQL[name], {"table": entity})


async def live_rows(conn: Connection, source_id: SourceId, entity: Entity) -> int:
    """Rows of this source that are not deleted."""
    count: int = await conn.fetchval(_for_table("live_rows", entity), source_id)
    return count


async def forget_misses(conn: Connection, source_id: SourceId, entity: Entity) -> None:
    """What the full read before missed is of no account any more."""
    await conn.execute(_SQL["forget_misses"], source_id, entity)


async def detect_deletes(
    conn: Connection, run: RunHead, entity: Entity, live: int, *, stable_paging: bool
) -> DeleteOutcome:
    """Soft-delete what vanished of the rows that were `live` before the read, or propose it.

    A dry run only counts, and remembers no misses.
    The caller knows that the read was full and every key is remembered.
    """
    await conn.execute(_SQL["drop_stages"])
    await conn.execute(_for_table("vanished", entity), run.source_id, run.id, entity)
    if not stable_paging:
        await _only_missed_twice(conn, run, entity)
    elif not run.dry_run:
        await forget_misses(conn, run.source_id, entity)
    vanished = await conn.fetchval(_SQL["count_vanished"])
    if vanished == 0:
        return DeleteOutcome(0, None)
    if above_threshold(vanished, live):
        return DeleteOutcome(0, vanished)
    if not run.dry_run:
        await conn.execute(_for_table("delete_vanished", entity), run.source_id)
    return DeleteOutcome(vanished, None)


async def _only_missed_twice(conn: Connection, run: RunHead, entity: Entity) -> None:
    await conn.execute(_SQL["missed_before"], run.source_id, entity)
    if not run.dry_run:
        await forget_misses(conn, run.source_id, entity)
        await conn.execute(_SQL["remember_misses"], run.source_id, entity, run.user_id, run.id)
    await conn.execute(_SQL["keep_missed_twice"])
