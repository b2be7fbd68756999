"""The page chain over the real code, with everything that can go wrong in a test's hands.

Handlers, ledger, writer and closing are the shipped ones, on a real Postgres. The bus is lists. Every handler runs as
a task that stops at each border of a transaction, before and after each publish and around the call of the source; the
test decides who goes on, who dies there (its message then comes back), what arrives twice, and in which order.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import asyncpg

from services.fetcher.batching import MAX_BYTES
from services.fetcher.opening import SourceOpener
from services.fetcher.page_chain import PageHandler
from services.fetcher.planning import PlanHandler
from services.fetcher.spooling import SpoolLimits
from services.scheduler.reaper import resume
from services.transformer.handlers import TransformHandler
from services.writer.handlers import WriteHandler
from shared.clock import SystemClock
from shared.connector_sdk.protocol import Page, ReadRequest, Shape
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.ids import RunId, SourceId, UserId
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import RawRecord, RunRequested, encode
from shared.messaging.ports import Bus, Message
from shared.messaging.topology import QueueName
from shared.observability.metrics import Metrics
from shared.storage.database import Connection, Database, open_database
from shared.storage.rows import RunHead
from shared.storage.run_views import RunView, load_run
from shared.storage.runs import RunAsk, request_run

QUEUES: tuple[QueueName, ...] = ("requests", "fetch", "transform", "write")
OUTCOMES = ("inserted", "updated", "unchanged", "filtered", "duplicates", "quarantined")
FIELDS = {"name": "name"}
STOP_SECONDS = 10.0
"""From one border to the next."""
MAX_BORDERS = 5_000
"""Of all workers together, until everything is delivered."""


class DiedError(BaseException):
    """The process ends here; no handler may catch it."""


@dataclass
class Worker:
    """A handler at one of its borders."""

    queue: QueueName
    message: Message
    task: "asyncio.Task[None] | None" = None
    gate: "asyncio.Future[None] | None" = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    place: str = "start"
    dead: bool = False


_current: ContextVar[Worker | None] = ContextVar("worker", default=None)


async def border(place: str) -> None:
    """Stop here until the test says go on, or die."""
    worker = _current.get()
    if worker is None or asyncio.current_task() is not worker.task:  # a heartbeat of the step is no step
        return
    if worker.dead:
        raise DiedError  # what a handler does on its way out, a dead process does not
    worker.place = place
    worker.gate = asyncio.get_running_loop().create_future()
    worker.stopped.set()
    await worker.gate


class SteppedDatabase(Database):
    """Transactions with a border before and after each; inside them nothing stops."""

    @asynccontextmanager
    async def for_run(self, run_id: RunId) -> AsyncIterator[tuple[Connection, RunHead | None]]:
        await border("before a transaction")
        async with super().for_run(run_id) as bound:
            yield bound
        await border("after a transaction")


class Shelves:
    """The bus: messages lie in lists until the test hands them out."""

    def __init__(self) -> None:
        self.queues: dict[QueueName, list[Message]] = {name: [] for name in QUEUES}

    async def publish(
        self,
        queue: QueueName,
        message: Message,
        *,
        delay: float = 0,  # noqa: ARG002 - the port's signature
    ) -> None:
        await border(f"before publishing to {queue}")
        self.queues[queue].append(message)
        await border(f"after publishing to {queue}")

    async def announce(self, message: Message) -> None:
        """Nobody listens."""

    async def ready(self) -> bool:
        return True


class ScriptedSource:
    """A vendor whose records come in the order of their keys: `size` a page after the cursor, or all in one answer.

    A message carries `size // 2` of them, so that a page is more than one message.
    """

    def __init__(self, keys: Sequence[int], size: int, shape: Shape = "pages") -> None:
        self.records = dict.fromkeys(keys, 0)
        self.size = size
        self.calls = 0
        self._shape = shape

    def shape(self, entity: str) -> Shape:  # noqa: ARG002 - the port's signature
        return self._shape

    def stable_paging(self, entity: str) -> bool:  # noqa: ARG002 - the port's signature
        return True

    async def read_page(self, request: ReadRequest, cursor: str | int | None) -> Page:  # noqa: ARG002 - the port's
        await border("before the call")
        self.calls += 1
        after = -1 if cursor is None else int(cursor)
        keys = sorted(key for key in self.records if key > after)[: self.size]
        # The stated size cuts the page into messages, of which it is true only in proportion.
        size = len(keys) * MAX_BYTES // (self.size // 2)
        page = Page([self._record(key) for key in keys], keys[-1] if len(keys) == self.size else None, size)
        await border("after the call")
        return page

    async def read_all(self, request: ReadRequest) -> AsyncIterator[RawRecord]:  # noqa: ARG002 - the port's signature
        await border("before the call")
        self.calls += 1
        records = [self._record(key) for key in sorted(self.records)]
        for number, record in enumerate(records):
            if number == self.size:
                await border("within the answer")
            yield record
        await border("after the call")

    def _record(self, key: int) -> RawRecord:
        return {"id": f"{key:04}", "name": f"version {self.records[key]}"}


class ScriptedClient:
    """What a step tells of its calls."""

    calls = 1
    hits = 0
    bytes_read = 1

    async def keep(self) -> None:
        """Nothing is kept."""


class ScriptedOpener:
    """Opens the scripted source for every source."""

    def __init__(self, source: ScriptedSource) -> None:
        self.source = source
        spec = SimpleNamespace(
            entities=lambda _config: ("inventory",),
            mapping=lambda _config, _entity, _rules: EntityMapping.model_validate(
                {"id_path": "id", "fields": dict(FIELDS)}
            ),
            supports_incremental=lambda _config, _entity: False,
        )
        self._connector = SimpleNamespace(spec=spec)

    def connector(self, _source_type: str) -> Any:
        return self._connector

    def unconnected(self, _source_type: str, _config: Mapping[str, Any]) -> Any:
        return self.source

    @asynccontextmanager
    async def open(self, _sealed: Any, _entity: str, **_step: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(source=self.source, client=ScriptedClient())


@dataclass
class ChainWorld:
    """One run of one source, and the workers that are at it."""

    admin: "asyncpg.Pool[asyncpg.Record]"
    databases: Mapping[str, Database]
    source: ScriptedSource
    user_id: UserId = field(default_factory=lambda: UserId(uuid4()))
    source_id: SourceId = field(default_factory=lambda: SourceId(uuid4()))
    run_id: RunId = field(default_factory=lambda: RunId(uuid4()))
    shelves: Shelves = field(default_factory=Shelves)
    workers: list[Worker] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        bus, clock = cast("Bus", self.shelves), SystemClock()
        opener = cast("SourceOpener", ScriptedOpener(self.source))
        fetcher, writer = self.databases["fetcher"], WriteHandler(self.databases["writer"], bus, Metrics())

        async def write(message: Message) -> None:
            await writer.on_pages_transformed([message])

        self.handlers: dict[QueueName, Callable[[Message], Awaitable[None]]] = {
            "requests": PlanHandler(fetcher, bus, opener, clock).on_run_requested,
            "fetch": PageHandler(
                fetcher, bus, opener, clock, SpoolSpace(), SpoolLimits(batch_rows=self.source.size // 2)
            ).on_fetch_page,
            "transform": TransformHandler(bus).on_page_fetched,
            "write": write,
        }

    async def begin(self, known: Sequence[int]) -> None:
        """A source with the rows `known`, and a full run that is asked for and published."""
        await self.admin.execute(
            "insert into external_data_sources (id, user_id, source_type, display_name, entities, credentials) "
            "values ($1, $2, 'json_api', 'scripted', '{inventory}', '{}')",
            self.source_id,
            self.user_id,
        )
        await self.admin.executemany(
            "insert into inventory (user_id, source_id, source_system, external_id, name, first_seen_at, "
            "last_changed_at) values ($1, $2, 'json_api', $3, 'version 0', now() - interval '1 day', "
            "now() - interval '1 day')",
            [(self.user_id, self.source_id, f"{key:04}") for key in known],
        )
        ask = RunAsk(
            self.source_id, self.user_id, "json_api", ("inventory",), "manual", mode="full", run_id=self.run_id
        )
        async with self.databases["gateway"].for_tenant(self.user_id) as conn:
            await request_run(conn, ask, merge=False)
            await conn.execute("delete from outbox where run_id = $1", self.run_id)
        self.shelves.queues["requests"].append(Message(RunRequested.KIND, encode(RunRequested(run_id=self.run_id))))

    def start(self, queue: QueueName, index: int) -> Worker:
        """Hand a message to a new worker, which stops at its first border."""
        message = self.shelves.queues[queue].pop(index)
        worker = Worker(queue, message)

        async def work() -> None:
            _current.set(worker)
            await border("start")
            await self.handlers[queue](message)

        worker.task = asyncio.create_task(work())
        worker.task.add_done_callback(lambda _task: worker.stopped.set())
        self.workers.append(worker)
        return worker

    async def go_on(self, *chosen: Worker) -> None:
        """Let these workers, all at once, come to their next border or end."""
        for worker in chosen:
            await self._stopped(worker)
            worker.stopped.clear()
            self.trace.append(f"{worker.queue}: on from {worker.place}")
            assert worker.gate is not None
            worker.gate.set_result(None)
        for worker in chosen:
            await self._stopped(worker)
            assert worker.task is not None
            if worker.task.done():
                self.workers.remove(worker)
                self.trace.append(f"{worker.queue}: done")
                worker.task.result()

    async def go_on_to(self, worker: Worker, place: str, times: int = 1) -> None:
        """Until the worker has come to this place so often, or to its end."""
        while worker in self.workers:
            await self.go_on(worker)
            if worker.place == place:
                times -= 1
            if times <= 0:
                break

    async def catch_up(self) -> None:
        """Transformer and writer do all that waits for them."""
        for queue in ("transform", "write"):
            for _ in range(len(self.shelves.queues[queue])):
                await self.go_on_to(self.start(queue, 0), "the end")

    async def _stopped(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await worker.stopped.wait()
        except TimeoutError:
            raise AssertionError(f"{worker} comes to no border: {self.trace[-40:]}") from None

    async def die(self, worker: Worker) -> None:
        """The worker's process ends where it stands; the broker gives the message out again."""
        await self._stopped(worker)
        assert worker.gate is not None
        assert worker.task is not None
        self.trace.append(f"{worker.queue}: died {worker.place}")
        worker.dead = True
        worker.gate.set_exception(DiedError())
        async with asyncio.timeout(STOP_SECONDS):
            await asyncio.wait([worker.task])
        assert isinstance(worker.task.exception(), DiedError), worker.task
        self.workers.remove(worker)
        self.shelves.queues[worker.queue].insert(0, worker.message)

    async def replan(self) -> None:
        """What the reaper and the embedded start do."""
        self.trace.append("replan")
        await resume(self.databases["scheduler"], cast("Bus", self.shelves), self.run_id)

    async def settle(self, dice: Random) -> None:
        """No more trouble: everything is delivered, in any order, and goes on to its end. Nothing is recovered."""
        for _ in range(MAX_BORDERS):
            filled = [queue for queue in QUEUES if self.shelves.queues[queue]]
            if filled and len(self.workers) < 4:
                queue = dice.choice(filled)
                self.start(queue, dice.randrange(len(self.shelves.queues[queue])))
            elif self.workers:
                await self.go_on(dice.choice(self.workers))
            else:
                return
        raise AssertionError(f"it does not come to rest: {self.trace[-40:]}")

    async def view(self) -> RunView:
        async with self.databases["gateway"].as_user(self.user_id) as conn:
            view = await load_run(conn, self.run_id)
        assert view is not None
        return view

    async def check(self, always_there: set[int], ever_gone: set[int]) -> None:
        """The end: the run succeeded, nothing is lost, nothing is deleted that lives, the counters balance."""
        view = await self.view()
        assert view.status == "succeeded", (view.status, view, self.trace)
        entity = view.entities["inventory"]
        assert sum(getattr(entity, name) for name in OUTCOMES) == entity.read, (entity, self.trace)
        rows = {
            int(row["external_id"]): row
            for row in await self.admin.fetch("select * from inventory where source_id = $1", self.source_id)
        }
        lost = {key for key in always_there if key not in rows or rows[key]["deleted_at"] is not None}
        assert not lost, (lost, view, self.trace)
        deleted = {key for key, row in rows.items() if row["deleted_at"] is not None}
        assert deleted <= ever_gone, (deleted, self.trace)
        assert entity.deleted == len(deleted), (entity, deleted)
        broken = await self.admin.fetch(
            "select page_no, batch_no from sync_batches where run_id = $1 and "
            "read <> inserted + updated + unchanged + filtered + duplicates + quarantined",
            self.run_id,
        )
        assert not broken, (broken, self.trace)
        seen = await self.admin.fetchval(
            "select (select count(*) from sync_keys_seen where run_id = $1) + "
            "(select coalesce(sum(cardinality(keys)), 0) from sync_key_packs where run_id = $1)",
            self.run_id,
        )
        assert seen == await self.admin.fetchval("select sum(keys) from sync_batches where run_id = $1", self.run_id)

    async def abandon(self) -> None:
        """Leave nothing running."""
        for worker in self.workers:
            assert worker.task is not None
            worker.task.cancel()
        await asyncio.gather(*[worker.task for worker in self.workers if worker.task], return_exceptions=True)


@asynccontextmanager
async def stepped_databases(database_url: str) -> AsyncIterator[dict[str, Database]]:
    """One pool per role; handlers stop at the borders of their transactions."""
    async with AsyncExitStack() as stack:
        made: dict[str, Database] = {}
        for name in ("gateway", "scheduler", "fetcher", "writer"):
            opened = await stack.enter_async_context(open_database(database_url, role=f"headrace_{name}"))
            made[name] = SteppedDatabase(opened._pool)
        yield made
