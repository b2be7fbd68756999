"""The whole pipeline inside one test: every service as it ships, real Postgres and Redis, the in-process bus."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg

from services.fetcher import app as fetcher
from services.fetcher.settings import FetcherSettings
from services.scheduler import app as scheduler
from services.scheduler.settings import SchedulerSettings
from services.transformer import app as transformer
from services.writer import app as writer
from shared.clock import Clock, SystemClock
from shared.connector_sdk.registry import Registry, discover
from shared.contracts.ids import RunId, SourceId, UserId
from shared.coordination.redis import RedisServer
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Bus
from shared.observability.metrics import Metrics
from shared.observability.secrets import SecretRegistry
from shared.observability.tracing import NoTracing, Tracing
from shared.runtime.dispatch import dispatch
from shared.runtime.observed_bus import ObservedBus
from shared.runtime.resources import Resources
from shared.runtime.service import run_services
from shared.sealing.boxes import Context
from shared.sealing.keyring import KeyRing, generate_key
from shared.storage.database import Database, open_database
from shared.storage.run_views import RunView, load_run
from shared.storage.runs import RunAsk, request_run

ROLES = {"scheduler": scheduler.ROLE, "fetcher": fetcher.ROLE, "writer": writer.ROLE, "gateway": "headrace_gateway"}
FINISHED = {"succeeded", "partial", "failed", "cancelled"}


@dataclass
class Pipeline:
    """A running system and a tenant in it."""

    bus: Bus
    databases: Mapping[str, Database]
    admin: "asyncpg.Pool[asyncpg.Record]"
    ring: KeyRing
    registry: Registry
    metrics: Metrics
    user_id: UserId = field(default_factory=lambda: UserId(uuid4()))

    async def add_source(
        self,
        config: Mapping[str, Any],
        credentials: Mapping[str, Any] | None = None,
        *,
        source_type: str = "json_api",
        user_id: UserId | None = None,
        **columns: Any,
    ) -> SourceId:
        """A source as the gateway would store it. `columns`: field_mappings, rate_limit, sync_frequency …"""
        owner, source_id = user_id or self.user_id, SourceId(uuid4())
        spec = self.registry.get(source_type).spec
        context = Context(owner, source_id, spec.origins(config))
        box = self.ring.public().seal(json.dumps(credentials or {"type": "none"}).encode(), context)
        values: dict[str, Any] = {
            "id": source_id,
            "user_id": owner,
            "source_type": source_type,
            "display_name": "a source",
            "config": json.dumps(config),
            "credentials": json.dumps(box),
            "entities": list(spec.entities(config)),
            "sync_frequency": "manual",
        }
        values |= {name: json.dumps(value) if isinstance(value, dict) else value for name, value in columns.items()}
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.admin.execute(
            f"insert into external_data_sources ({', '.join(values)}) values ({places})", *values.values()
        )
        return source_id

    async def ask(self, source_id: SourceId, **wishes: Any) -> RunId:
        """Ask for a run as the gateway does: a person's that reads anew, unless `force` or `trigger` say otherwise."""
        row = await self.admin.fetchrow("select * from external_data_sources where id = $1", source_id)
        assert row is not None
        entities = wishes.pop("entities", tuple(row["entities"]))
        trigger = wishes.pop("trigger", "manual")
        wishes.setdefault("force", trigger == "manual")
        asked = RunAsk(source_id, row["user_id"], row["source_type"], entities, trigger, **wishes)
        db = self.databases["gateway"]
        async with db.for_tenant(row["user_id"]) as conn:
            requested = await request_run(conn, asked, merge=False)
        assert not requested.conflict, f"run {requested.run_id} is active"
        await dispatch(db, self.bus, requested.outbox_ids)
        return requested.run_id

    async def view(self, run_id: RunId) -> RunView:
        """The run as its owner sees it."""
        owner = await self.admin.fetchval("select user_id from sync_runs where id = $1", run_id)
        async with self.databases["gateway"].as_user(owner) as conn:
            view = await load_run(conn, run_id)
        assert view is not None
        return view

    async def finish(self, run_id: RunId, *, within: float = 30) -> RunView:
        """The run once it has ended."""
        return await eventually(lambda: self.view(run_id), lambda view: view.status in FINISHED, within=within)

    async def sync(self, source_id: SourceId, *, within: float = 30, **wishes: Any) -> RunView:
        """Ask and await the end."""
        return await self.finish(await self.ask(source_id, **wishes), within=within)

    async def rows(
        self, entity: str, source_id: SourceId | None = None, *, deleted: bool = False
    ) -> list[dict[str, Any]]:
        """Rows of an entity by external id, as the superuser sees them."""
        found = await self.admin.fetch(
            f"select * from {entity} where ($1::uuid is null or source_id = $1) and (deleted_at is null or $2) "
            "order by external_id",
            source_id,
            deleted,
        )
        return [dict(row) for row in found]


class MovedClock(SystemClock):
    """The machine's clock, so far ahead; move it between runs."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead

    def unix(self) -> float:
        return super().unix() + self.ahead.total_seconds()


async def eventually(
    look: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], *, within: float, every: float = 0.02
) -> Any:
    """Look again and again until it is good; the last look is in the error."""
    seen: Any = None
    try:
        async with asyncio.timeout(within):
            while not good(seen := await look()):  # noqa: ASYNC110 - other processes set no event; this is the one place
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {within} s: {seen}") from None
    return seen


def new_ring() -> KeyRing:
    return KeyRing.parse(generate_key("test"))


@asynccontextmanager
async def running_pipeline(
    database_url: str,
    redis_url: str,
    redis_prefix: str,
    *,
    bus: Bus | None = None,
    ring: KeyRing | None = None,
    services: Sequence[str] = ("scheduler", "fetcher", "transformer", "writer"),
    stall_seconds: float = 120.0,
    egress_allow: str = "127.0.0.0/8",
    registry: Registry | None = None,
    tracing: Tracing | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Pipeline]:
    """Everything started; stopped and drained at the end."""
    ring = ring or new_ring()
    registry = registry or discover()
    tracing = tracing or NoTracing()
    async with AsyncExitStack() as stack:
        if bus is None:
            bus = MemoryBus()
            stack.push_async_callback(bus.close)
        databases = {
            name: await stack.enter_async_context(open_database(database_url, role=role))
            for name, role in ROLES.items()
        }
        redis = await stack.enter_async_context(RedisServer.at(redis_url))
        admin = await stack.enter_async_context(asyncpg.create_pool(database_url, min_size=1, max_size=4))
        metrics, secrets = Metrics(), SecretRegistry()

        def resources(name: str) -> Resources:
            told = clock or SystemClock()
            watched = ObservedBus(bus, metrics, told, tracing)
            return Resources(watched, databases.get(name), redis, told, metrics, secrets, tracing, redis_prefix)

        settings = FetcherSettings(master_keys=ring.to_text(), egress_allow=egress_allow)
        builders = {
            "scheduler": lambda: scheduler.build(
                SchedulerSettings(tick_seconds=0.2, stall_seconds=stall_seconds), resources("scheduler")
            ),
            "fetcher": lambda: fetcher.build(settings, resources("fetcher"), registry),
            "transformer": lambda: transformer.build(resources("transformer")),
            "writer": lambda: writer.build(resources("writer")),
        }
        stop = asyncio.Event()
        running = asyncio.create_task(run_services([builders[name]() for name in services], stop, grace=5))
        try:
            yield Pipeline(bus, databases, admin, ring, registry, metrics)
        finally:
            stop.set()
            await running
