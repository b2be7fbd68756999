"""One transaction: rows, rejects, keys seen and marks of a group of batches of one entity."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from services.writer.copytext import encode_columns
from services.writer.grouping import Group, Place, Tally, group_batches, place_of
from services.writer.statements import Statements, all_statements
from shared.contracts.ids import Entity, RunId
from shared.contracts.messages import PageTransformed
from shared.contracts.records import Cell
from shared.storage.database import Connection, Database
from shared.storage.rows import RunHead

_FIXED_COLUMNS = ("seq", "external_id", "has_lines")
"""Of the stage; the entity's own fields follow."""


_MAX_REMEMBERED = 256


class Upserter:
    """Writes groups of batches. Remembers of a few reads, as a guess, whether most of their rows are written."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._statements: Mapping[Entity, Statements] = all_statements()
        self._mostly_new: OrderedDict[tuple[RunId, Entity], bool] = OrderedDict()

    async def write(self, run_id: RunId, entity: Entity, batches: Sequence[PageTransformed]) -> list[Tally]:
        """Commit what counts and ignore the rest: ended runs, replaced epochs, batches whose mark exists.

        Returns the counters of the batches committed now. Raises PlatformAwayError when Postgres cannot serve.
        """
        due = batches
        while due:
            try:
                return await self._write_together(run_id, entity, due)
            except _GroupedTooMuchError as other:
                due = other.due
        return []

    async def _write_together(self, run_id: RunId, entity: Entity, batches: Sequence[PageTransformed]) -> list[Tally]:
        group = group_batches(batches)
        async with self._db.for_run(run_id) as (conn, run):
            if run is None:
                return []
            marked = await self._marked(conn, run, entity, batches)
            if marked is None:
                return []
            if marked:  # they came again: no reason to stage what is written
                raise _GroupedTooMuchError([batch for batch in batches if place_of(batch) not in marked])
            extras = not run.dry_run and self._mostly_new.get((run_id, entity), False)
            write = _Write(conn, run, entity, self._statements[entity], group, extras_first=extras)
            # Before the wait for other writers of the entity: what is staged is nobody else's affair.
            await write.stage()
            due = await self._due(conn, run, entity, batches)
            if len(due) < len(batches):
                raise _GroupedTooMuchError(due)
            written = await write.run()
        self._mostly_new[run_id, entity] = 2 * written > len(group.staged)
        self._mostly_new.move_to_end((run_id, entity))
        if len(self._mostly_new) > _MAX_REMEMBERED:
            self._mostly_new.popitem(last=False)
        return list(group.tallies.values())

    async def _marked(
        self, conn: Connection, run: RunHead, entity: Entity, batches: Sequence[PageTransformed]
    ) -> set[Place] | None:
        """Those that are written already, as far as one sees without waiting for other writers; None: it has ended."""
        sql = self._statements[entity]
        if not await conn.fetchval(sql["hold_run"], run.id):
            return None
        places = {place_of(batch) for batch in batches}
        numbers = [sorted(set(each)) for each in zip(*places, strict=True)]
        found = [
            (row["page_no"], row["batch_no"])
            for row in await conn.fetch(sql["open_and_marked"], run.id, entity, *numbers)
        ]
        return places.intersection(found) if found else None

    async def _due(
        self, conn: Connection, run: RunHead, entity: Entity, batches: Sequence[PageTransformed]
    ) -> list[PageTransformed]:
        """Those that count, once no other writer is at this entity."""
        sql = self._statements[entity]
        await conn.execute(sql["serialise_entity"], f"{run.id}/{entity}")
        numbers = sorted({batch.page_no for batch in batches})
        epochs = {row["page_no"]: row["epoch"] for row in await conn.fetch(sql["pages"], run.id, entity, numbers)}
        marked = {(row["page_no"], row["batch_no"]) for row in await conn.fetch(sql["marked"], run.id, entity, numbers)}
        return [
            batch for batch in batches if epochs.get(batch.page_no) == batch.epoch and place_of(batch) not in marked
        ]


class _GroupedTooMuchError(Exception):
    """Some of the grouped batches count no more: the transaction ends without a trace, and begins anew with these."""

    def __init__(self, due: Sequence[PageTransformed]) -> None:
        super().__init__(len(due))
        self.due = due


class _Write:
    """The steps of one transaction, in their order."""

    def __init__(
        self, conn: Connection, run: RunHead, entity: Entity, sql: Statements, group: Group, *, extras_first: bool
    ) -> None:
        """`extras_first`: stage the extras with the rows, since most are to be written; else only of those that are."""
        self._extras_first = extras_first
        self._conn = conn
        self._run = run
        self._entity = entity
        self._sql = sql
        self._group = group
        self._staged = [*group.staged.values()]
        """In the order of `seq`, also those that lose to a batch that was written before."""
        self._lost: set[int] = set()
        self._outcomes: dict[int, str] = {}
        """By `seq`, of rows that are not unchanged."""

    async def run(self) -> int:
        """After `stage`. The number of rows that were written, or would be but for a dry run."""
        if await self._may_be_seen():
            await self._settle_duplicates()
            await self._settle_gone()
        await self._classify()
        changed = await self._count_outcomes()
        if changed and not self._run.dry_run:
            await self._write_rows(changed)
        await self._delete_gone()
        await self._remember_keys()
        await self._quarantine()
        await self._mark()
        return len(changed)

    async def stage(self) -> None:
        """Bring the group to the connection's own stages."""
        await self._conn.execute(self._sql["create_stage"])
        if not self._group.staged:
            return
        await self._copy(f"stage_{self._entity}", *self._staged_columns())
        if self._entity == "purchase_orders":
            await self._copy("stage_lines", self._sql.line_columns, self._order_lines())
        if self._extras_first:
            await self._stage_extras(range(len(self._staged)))

    async def _copy(self, table: str, names: Sequence[str], columns: Sequence[Sequence[Cell]]) -> None:
        await self._conn.copy_to_table(table, source=_flowing(encode_columns(columns)), columns=names)

    def _staged_columns(self) -> tuple[Sequence[str], Sequence[Sequence[Cell]]]:
        """Names and cells of the columns that hold anything; those that no rule maps stay null of themselves."""
        keys, cells, _, lines = zip(*[row for _, row in self._staged], strict=True)
        places = [*map(str, range(len(keys)))]
        fixed = [places, keys, ["f" if one is None else "t" for one in lines]]
        fields = [
            (name, column)
            for name, column in zip(self._sql.field_columns, zip(*cells, strict=True), strict=True)
            if column.count(None) < len(column)
        ]
        return (*_FIXED_COLUMNS, *(name for name, _ in fields)), [*fixed, *(column for _, column in fields)]

    def _order_lines(self) -> Sequence[Sequence[Cell]]:
        found = [
            [key, str(place), *line]
            for key, (_, row) in self._group.staged.items()
            for place, line in enumerate(row[3] or (), 1)
        ]
        return [*zip(*found, strict=True)]

    async def _may_be_seen(self) -> bool:
        """Whether another batch of this run may have counted one of these keys."""
        ranges = [found for tally in self._group.tallies.values() if (found := tally.key_range)]
        first, last = [low for low, _ in ranges], [high for _, high in ranges]
        return bool(ranges) and bool(
            await self._conn.fetchval(self._sql["may_be_seen"], self._run.id, self._entity, first, last)
        )

    async def _settle_duplicates(self) -> None:
        """Keys that another batch of this run has counted: the higher page wins, the other is a duplicate."""
        await self._conn.execute(self._sql["unpack_keys"], self._run.id, self._entity)
        lost: list[int] = []
        for row in await self._conn.fetch(self._sql["seen_before"], self._run.id, self._entity):
            key, outcome = row["external_id"], row["outcome"].decode()
            there: Place = (row["page_no"], row["batch_no"])
            here = self._group.staged[key].place
            if here < there:
                lost.append(row["seq"])
                tally = self._group.tallies[here]
                tally.duplicates += 1
                tally.staged -= 1
                self._group.others.append((key, here, "d"))
                del self._group.staged[key]
            else:
                await self._demote(key, there, outcome)
        if lost:
            self._lost.update(lost)
            await self._conn.execute(self._sql["unstage"], lost)

    async def _settle_gone(self) -> None:
        """Deletions whose key another batch of this run has counted: the higher page wins here too."""
        if not self._group.gone:
            return
        seen = await self._conn.fetch(self._sql["seen_of"], self._run.id, self._entity, sorted(self._group.gone))
        for row in seen:
            key, there = row["external_id"], (row["page_no"], row["batch_no"])
            here = self._group.gone[key]
            if here < there:
                del self._group.gone[key]
                self._group.others.append((key, here, "d"))
            else:
                await self._demote(key, there, row["outcome"].decode())

    async def _demote(self, key: str, place: Place, outcome: str) -> None:
        """What was counted there counts no more."""
        await self._conn.execute(self._sql["demote"], self._run.id, self._entity, key, *place)
        await self._conn.execute(self._sql["demote_mark"], self._run.id, self._entity, *place, outcome)

    async def _delete_gone(self) -> None:
        """Soft-delete, and count what this run has deleted; a row that was gone before is no deletion of ours."""
        gone = self._group.gone
        if not gone:
            return
        run = self._run
        keys = sorted(gone)
        if not run.dry_run:
            await self._conn.execute(self._sql["delete_gone"], run.source_id, keys)
        deleted = {
            row["external_id"]
            for row in await self._conn.fetch(self._sql["deleted_by_run"], run.source_id, keys, run.started_at)
        }
        for key in keys:
            self._group.tallies[gone[key]].deleted += key in deleted
            self._group.others.append((key, gone[key], "x" if key in deleted else "g"))

    async def _classify(self) -> None:
        await self._conn.execute(self._sql["changed_rows"], self._run.source_id, self._run.started_at)

    async def _write_rows(self, changed: Sequence[int]) -> None:
        run = self._run
        if not self._extras_first:
            await self._stage_extras(changed)
        elif len(changed) < len(self._staged):
            await self._conn.execute(self._sql["keep_extras"])
        await self._conn.execute(self._sql["upsert"], run.user_id, run.source_id, run.source_type)
        if self._entity == "purchase_orders":
            await self._conn.execute(self._sql["drop_lines"], run.source_id)
            await self._conn.execute(self._sql["upsert_lines"], run.source_id, run.user_id)

    async def _stage_extras(self, places: Sequence[int]) -> None:
        extras = [self._staged[seq].row[2] for seq in places]
        await self._copy("stage_extra", ("seq", "extra"), ([*map(str, places)], extras))

    async def _count_outcomes(self) -> Sequence[int]:
        """The places in the stage of the rows that are to be written."""
        changed: list[int] = []
        for seq, is_new, differs in await self._conn.fetch(self._sql["outcomes"]):
            tally = self._group.tallies[self._staged[seq].place]
            if is_new:
                tally.inserted += 1
            else:
                tally.updated += 1
            self._outcomes[seq] = "i" if is_new else "u"
            if differs:
                changed.append(seq)
        return changed

    async def _remember_keys(self) -> None:
        run = self._run
        seen: dict[Place, tuple[list[str], list[str]]] = {place: ([], []) for place in self._group.tallies}
        for seq, (place, row) in enumerate(self._staged):
            if seq not in self._lost:
                keys, outcomes = seen[place]
                keys.append(row[0])
                outcomes.append(self._outcomes.get(seq, "s"))
        for key, place, outcome in self._group.others:
            keys, outcomes = seen[place]
            keys.append(key)
            outcomes.append(outcome)
        await self._conn.executemany(
            self._sql["remember_keys"],
            [
                (run.id, self._entity, *place, run.user_id, keys, "".join(outcomes))
                for place, (keys, outcomes) in seen.items()
                if keys
            ],
        )

    async def _quarantine(self) -> None:
        if self._run.dry_run:
            return
        run = self._run
        rejects = [
            (
                run.user_id, run.source_id, run.id, self._entity, *place, reject.external_id, reject.field,
                reject.reason, reject.raw, tally.batch.mapping_version,
            )
            for place, tally in self._group.tallies.items()
            for reject in tally.batch.rejects
        ]  # fmt: skip
        if rejects:
            await self._conn.executemany(self._sql["quarantine"], rejects)

    async def _mark(self) -> None:
        await self._conn.executemany(
            self._sql["mark"], [self._mark_of(place, tally) for place, tally in self._group.tallies.items()]
        )

    def _mark_of(self, place: Place, tally: Tally) -> tuple[object, ...]:
        batch = tally.batch
        first_key, last_key = tally.key_range or (None, None)
        return (
            self._run.id, self._entity, *place, self._run.user_id, batch.epoch, batch.read,
            tally.inserted, tally.updated, tally.unchanged, batch.filtered, tally.duplicates, len(batch.rejects),
            tally.keys, tally.keyless, batch.max_updated_at, tally.deleted, first_key, last_key,
        )  # fmt: skip


async def _flowing(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """As the driver wants what it reads from."""
    for piece in pieces:
        yield piece
