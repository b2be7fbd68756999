"""The page ledger: what was fetched, under which epoch, and whether a message about a page still counts.

The protocol is docs/architecture.md, "The page chain". Three things hold it together: a page is fetched only for the
epoch of its parent; a page whose follower is in the ledger is never replaced; a replaced page takes its marks along.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.contracts.ids import Entity, Mode, RunId, UserId
from shared.contracts.messages import Cursor, FetchPage
from shared.storage.database import Connection, Record
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "pages.sql")


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing to do: acknowledge. `ended` when the run or the entity has ended."""

    ended: bool = False


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The page is committed: publish its follower from the ledger, without a call. None: it was the last page."""

    message: FetchPage | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """The page is due."""

    mode: Mode
    since: datetime | None
    targets: tuple[str, ...] | None = None
    """Read these ids and nothing else."""
    targets_deleted: tuple[str, ...] = ()
    """Those of them whose rows may go when they are not found: the source itself called them deleted."""


Verdict = Drop | FollowUp | Fetch


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as the ledger needs it. `next_cursor` None: the last page."""

    next_cursor: Cursor
    records: int
    batches: int
    bytes: int
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The page is in the ledger under this epoch: publish its batches, then its follower."""

    epoch: int
    committed: frozenset[int] = frozenset()
    """Batches that need not be published, since an equal read has brought them to their rows."""


def follower(message: FetchPage, epoch: int, next_cursor: Cursor) -> FetchPage | None:
    """The message that fetches the next page, carrying the epoch that was recorded for this one."""
    if next_cursor is None:
        return None
    return FetchPage(
        run_id=message.run_id,
        entity=message.entity,
        page_no=message.page_no + 1,
        cursor=next_cursor,
        parent_epoch=epoch,
    )


async def judge(conn: Connection, message: FetchPage) -> Verdict:
    """What to do about this message now. Holds the run open and locks the pages until the transaction ends."""
    verdict, _ = await _judge(conn, message)
    return verdict


async def _judge(conn: Connection, message: FetchPage) -> tuple[Verdict, Record | None]:
    """With the page as the ledger has it."""
    if not await conn.fetchval(_SQL["hold_run"], message.run_id):
        return Drop(ended=True), None
    fence = await conn.fetchrow(_SQL["fence"], message.run_id, message.entity)
    if fence is None or not fence["open"]:
        return Drop(ended=True), None
    rows = await conn.fetch(_SQL["lock_pages"], message.run_id, message.entity, message.page_no)
    pages = {row["page_no"]: row for row in rows}
    if message.page_no > 1:
        parent = pages.get(message.page_no - 1)
        if parent is None or parent["epoch"] != message.parent_epoch:
            return Drop(), None
    if message.page_no + 1 in pages:
        return Drop(), None
    page = pages.get(message.page_no)
    if page is not None:
        committed = await conn.fetchval(
            _SQL["committed_batches"], message.run_id, message.entity, message.page_no, page["epoch"]
        )
        if committed == page["batches"]:
            return FollowUp(follower(message, page["epoch"], page["next_cursor"])), page
    targets = None if fence["targets"] is None else tuple(fence["targets"])
    deleted = tuple(fence["targets_deleted"])
    return Fetch(mode=fence["mode"], since=fence["since"], targets=targets, targets_deleted=deleted), page


async def record(
    conn: Connection, user_id: UserId, message: FetchPage, page: FetchedPage, fetched_as: Fetch | None = None
) -> Recorded | Drop | FollowUp:
    """Judge again and put the page into the ledger, in place of an older epoch whose marks are voided.

    `fetched_as`: the verdict it was read under. If the entity is read in another mode by now, the page is dropped: as
    a part of a full read, an incremental page would make all other rows look gone. A spooled read that repeats with the
    same digest keeps its epoch and marks: what was committed stays committed.
    """
    verdict, known = await _judge(conn, message)
    if not isinstance(verdict, Fetch):
        return verdict
    if fetched_as is not None and verdict != fetched_as:
        return Drop()
    if known is not None and page.digest is not None and known["digest"] == page.digest:
        marks = await conn.fetch(
            _SQL["committed_numbers"], message.run_id, message.entity, message.page_no, known["epoch"]
        )
        return Recorded(known["epoch"], frozenset(row["batch_no"] for row in marks))
    if known is not None:
        await _void(conn, message.run_id, message.entity, message.page_no, pages_too=False)
    epoch: int = await conn.fetchval(
        _SQL["record_page"],
        message.run_id, message.entity, message.page_no, user_id, message.cursor, page.next_cursor,
        page.next_cursor is None, page.records, page.batches, page.bytes, page.digest,
    )  # fmt: skip
    return Recorded(epoch)


async def note_missing(conn: Connection, message: FetchPage, epoch: int, missing: int) -> None:
    """Of the page that was just recorded: ids that were asked for, not found, and left alone."""
    await conn.execute(_SQL["note_missing"], message.run_id, message.entity, message.page_no, epoch, missing)


async def _void(conn: Connection, run_id: RunId, entity: Entity, from_page: int, *, pages_too: bool) -> None:
    steps: tuple[Literal["void_marks", "void_packs", "void_keys", "void_rejects", "void_pages"], ...] = (
        "void_marks",
        "void_packs",
        "void_keys",
        "void_rejects",
    )
    for step in (*steps, "void_pages") if pages_too else steps:
        await conn.execute(_SQL[step], run_id, entity, from_page)


@dataclass(frozen=True, slots=True)
class Restart:
    """Where an entity's chain goes on: with this message, or nowhere because its last page is committed."""

    message: FetchPage | None


async def replan_entity(conn: Connection, run_id: RunId, entity: Entity) -> Restart:
    """Keep the unbroken committed prefix of pages, void the rest, and say what fetches on from there."""
    kept, cursor, epoch, last = 0, None, 0, False
    pages = await conn.fetch(_SQL["chain"], run_id, entity)
    for row in pages:
        if row["page_no"] != kept + 1 or row["committed"] != row["batches"]:
            break
        kept, cursor, epoch, last = row["page_no"], row["next_cursor"], row["epoch"], row["is_last"]
    if len(pages) > kept:
        await _void(conn, run_id, entity, kept + 1, pages_too=True)
    if last:
        return Restart(None)
    return Restart(FetchPage(run_id=run_id, entity=entity, page_no=kept + 1, cursor=cursor, parent_epoch=epoch))
