"""The core without its services: real Postgres in the services' roles, and the steps of a run called by hand."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg

from pipeline import eventually
from services.writer.grouping import Tally
from services.writer.upsert import Upserter
from shared.contracts.ids import Entity, RunId, SourceId, Trigger, UserId
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import FetchPage, PageTransformed
from shared.contracts.records import FIELDS, LINE_FIELDS, RecordReject, Row
from shared.storage import pages, runs
from shared.storage.closing import Closed, try_close
from shared.storage.database import Database, open_database
from shared.storage.pages import FetchedPage, Recorded
from shared.storage.run_views import EntityView, RunView, load_run
from shared.storage.runs import EntityPlan, RequestedRun, RunAsk, request_run

ROLES = ("gateway", "scheduler", "fetcher", "writer")
OUTCOMES = ("inserted", "updated", "unchanged", "filtered", "duplicates", "quarantined")


def item(
    key: str, *, extra: Mapping[str, Any] | None = None, entity: Entity = "inventory", **values: str | None
) -> Row:
    """One row on its way to the writer; what is not given is null, but for the name."""
    name = "order_number" if entity == "purchase_orders" else "name"
    values = {name: f"the {key}", **values}
    cells = [values.pop(spec.name, None) for spec in FIELDS[entity]]
    assert not values, values
    return Row(key, cells, json.dumps(extra or {}), None)


def order(key: str, lines: Sequence[Mapping[str, str | None]] | None, **values: str | None) -> Row:
    """A purchase order; its lines are numbered from 1 unless they say so."""
    cells = None
    if lines is not None:
        numbered = [{"line_number": str(number), **line} for number, line in enumerate(lines, 1)]
        cells = [[line.get(spec.name) for spec in LINE_FIELDS] for line in numbered]
    return item(key, entity="purchase_orders", **values)._replace(lines=cells)


def reject(key: str | None, reason: str = "expected a number") -> RecordReject:
    return RecordReject(external_id=key, field="quantity_on_hand", reason=reason, raw='{"bad": true}')


@dataclass
class Core:
    """A tenant and the databases of every role."""

    admin: "asyncpg.Pool[asyncpg.Record]"
    databases: Mapping[str, Database]
    user_id: UserId = field(default_factory=lambda: UserId(uuid4()))

    def __post_init__(self) -> None:
        self.upserter = Upserter(self.databases["writer"])

    async def source(self, user_id: UserId | None = None, **columns: Any) -> SourceId:
        """A source without credentials."""
        source_id = SourceId(uuid4())
        values: dict[str, Any] = {
            "id": source_id,
            "user_id": user_id or self.user_id,
            "source_type": "json_api",
            "display_name": "a source",
            "entities": ["inventory", "vendors", "purchase_orders"],
            "sync_frequency": "manual",
            **columns,
        }
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.admin.execute(
            f"insert into external_data_sources ({', '.join(values)}) values ({places})", *values.values()
        )
        return source_id

    async def ask(
        self,
        source_id: SourceId,
        *entities: Entity,
        merge: bool = False,
        trigger: Trigger = "manual",
        user_id: UserId | None = None,
        **wishes: Any,
    ) -> RequestedRun:
        ask = RunAsk(source_id, user_id or self.user_id, "json_api", entities or ("inventory",), trigger, **wishes)
        async with self.databases["gateway"].for_tenant(ask.user_id) as conn:
            return await request_run(conn, ask, merge=merge)

    async def start(self, run_id: RunId, *, mode: str = "full", stable: bool = True, timed: bool = True) -> RunId:
        """queued -> running, as the plan does it."""
        async with self.databases["fetcher"].for_run(run_id) as (conn, head):
            assert head is not None
            await runs.source_for_plan(conn, head.source_id)
            entities = await runs.entities_of(conn, run_id)
            plans = tuple(EntityPlan(entity, mode, None, stable) for entity in entities)
            mapping = EntityMapping(id_path="id", updated_at_path="changed" if timed else None)
            mappings = dict.fromkeys(entities, mapping)
            await runs.start_run(conn, run_id, head.source_id, head.mode, {}, mappings, plans)
        return run_id

    async def running(
        self, source_id: SourceId, *entities: Entity, mode: str = "full", stable: bool = True, **wishes: Any
    ) -> RunId:
        """A run that has just been started."""
        requested = await self.ask(source_id, *entities, **wishes)
        assert requested.created, requested
        return await self.start(requested.run_id, mode=mode, stable=stable)

    async def page(
        self,
        run_id: RunId,
        page_no: int = 1,
        records: int = 0,
        *,
        last: bool = True,
        batches: int = 1,
        entity: Entity = "inventory",
        digest: str | None = None,
    ) -> int:
        """Put a page into the ledger; its epoch."""
        parent = await self.epoch(run_id, page_no - 1, entity) if page_no > 1 else 0
        message = FetchPage(
            run_id=run_id, entity=entity, page_no=page_no, cursor=str(page_no), parent_epoch=parent or 0
        )
        fetched = FetchedPage(None if last else str(page_no + 1), records, batches, 100, digest)
        async with self.databases["fetcher"].for_run(run_id) as (conn, head):
            assert head is not None
            recorded = await pages.record(conn, head.user_id, message, fetched)
        assert isinstance(recorded, Recorded), recorded
        return recorded.epoch

    async def epoch(self, run_id: RunId, page_no: int, entity: Entity = "inventory") -> int | None:
        return await self.admin.fetchval(
            "select epoch from sync_pages where run_id = $1 and entity = $2 and page_no = $3", run_id, entity, page_no
        )

    @staticmethod
    def batch(
        run_id: RunId,
        epoch: int,
        rows: Sequence[Row] = (),
        *,
        page_no: int = 1,
        batch_no: int = 0,
        rejects: Sequence[RecordReject] = (),
        filtered: int = 0,
        newest: datetime | None = None,
        entity: Entity = "inventory",
        read: int | None = None,
        deletions: Sequence[str] = (),
    ) -> PageTransformed:
        return PageTransformed(
            run_id=run_id,
            entity=entity,
            page_no=page_no,
            batch_no=batch_no,
            epoch=epoch,
            mapping_version=1,
            read=len(rows) + len(rejects) + filtered if read is None else read,
            filtered=filtered,
            max_updated_at=newest,
            rows=list(rows),
            rejects=list(rejects),
            deletions=list(deletions),
        )

    async def write(self, *batches: PageTransformed) -> list[Tally]:
        return await self.upserter.write(batches[0].run_id, batches[0].entity, batches)

    async def close(self, run_id: RunId, role: str = "writer") -> Closed:
        return await try_close(self.databases[role], run_id)

    async def read(
        self,
        run_id: RunId,
        *page_rows: Sequence[Row],
        entity: Entity = "inventory",
        rejects: Sequence[RecordReject] = (),
        filtered: int = 0,
        newest: datetime | None = None,
        close: bool = True,
    ) -> EntityView:
        """A whole read of one entity, a batch a page; rejects and filtered records are on the last one."""
        for number, rows in enumerate(page_rows, 1):
            last = number == len(page_rows)
            more = (rejects, filtered, newest) if last else ((), 0, None)
            count = len(rows) + len(more[0]) + more[1]
            epoch = await self.page(run_id, number, count, last=last, entity=entity)
            await self.write(
                self.batch(
                    run_id,
                    epoch,
                    rows,
                    page_no=number,
                    entity=entity,
                    rejects=more[0],
                    filtered=more[1],
                    newest=more[2],
                )
            )
        if close:
            await self.close(run_id)
        return (await self.view(run_id)).entities[entity]

    async def sync(self, source_id: SourceId, *page_rows: Sequence[Row], **options: Any) -> EntityView:
        """A whole run of one entity."""
        entity = options.get("entity", "inventory")
        settings = {name: options.pop(name) for name in ("mode", "stable", "dry_run") if name in options}
        return await self.read(await self.running(source_id, entity, **settings), *page_rows, **options)

    async def view(self, run_id: RunId) -> RunView:
        owner = await self.admin.fetchval("select user_id from sync_runs where id = $1", run_id)
        async with self.databases["gateway"].as_user(owner) as conn:
            view = await load_run(conn, run_id)
        assert view is not None
        return view

    async def rows(self, source_id: SourceId, entity: Entity = "inventory", *, deleted: bool = False) -> dict[str, Any]:
        """Rows by key, with Postgres' own mark of the last write."""
        found = await self.admin.fetch(
            f"select *, xmin::text as xmin from {entity} where source_id = $1 and (deleted_at is null or $2)",
            source_id,
            deleted,
        )
        return {row["external_id"]: dict(row) for row in found}

    async def lines(self, source_id: SourceId, key: str) -> list[dict[str, Any]]:
        found = await self.admin.fetch(
            "select l.*, l.xmin::text as xmin from purchase_order_lines l join purchase_orders o "
            "on o.id = l.purchase_order_id where o.source_id = $1 and o.external_id = $2 order by line_number",
            source_id,
            key,
        )
        return [dict(row) for row in found]

    async def until_blocked(self) -> None:
        """Return when a statement of this database waits for a lock."""
        waiting = (
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        await eventually(lambda: self.admin.fetchval(waiting), bool, within=10)

    async def source_row(self, source_id: SourceId) -> dict[str, Any]:
        row = await self.admin.fetchrow("select * from external_data_sources where id = $1", source_id)
        assert row is not None
        return dict(row)


def counters(view: EntityView) -> dict[str, int]:
    """The outcomes that are not zero; they must add up to what was read."""
    found = {name: getattr(view, name) for name in OUTCOMES}
    assert sum(found.values()) == view.read, view
    return {name: count for name, count in found.items() if count}


@asynccontextmanager
async def opened_core(database_url: str) -> AsyncIterator[Core]:
    """Pools of every role on one database."""
    async with AsyncExitStack() as stack:
        databases = {
            name: await stack.enter_async_context(open_database(database_url, role=f"headrace_{name}"))
            for name in ROLES
        }
        admin = await stack.enter_async_context(asyncpg.create_pool(database_url, min_size=1, max_size=3))
        yield Core(admin, databases)
