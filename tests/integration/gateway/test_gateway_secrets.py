"""Secrets stay where they belong: looked for in logs, messages, tables, caches, spans and answers, whatever fails."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any
from urllib.parse import quote, quote_plus

import asyncpg
import pytest
import structlog
from amqp_tap import Tap, tapping
from canaries import FORMS, SCRIPTS, Canaries, RecordingAmqp, RecordingBus, Vendor
from gateway_harness import Gateway, User, running_gateway
from otlp_collector import Collector, collecting
from redis.asyncio import Redis

from pipeline import eventually, running_pipeline
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.connector_sdk.registry import discover_specs
from shared.messaging.amqp import AmqpBus
from shared.messaging.ports import Message
from shared.observability.logging import configure
from shared.observability.secrets import SecretRegistry
from shared.observability.tracing import OtlpTracing

SOAK = [pytest.mark.soak, pytest.mark.timeout(300)]
FINISHED = {"succeeded", "partial", "failed", "cancelled"}


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything at level debug, ours and the libraries'; no secret is registered, so masking by value is no help."""
    handlers, level, stream = logging.root.handlers, logging.root.level, StringIO()
    configure("debug", "json", SecretRegistry(), SystemClock(), stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


@dataclass
class World:
    gateway: Gateway
    bus: RecordingBus | RecordingAmqp
    tap: Tap | None
    vendor: Vendor
    base: str
    canaries: Canaries
    user: User
    redis: Redis
    redis_prefix: str
    tracing: OtlpTracing
    collector: Collector

    async def leaks(self, log: StringIO) -> list[tuple[str, str, str]]:
        """Where which secret was found, with the beginning of what holds it."""
        await self.tracing.flush()
        places = {
            "spans": [body.decode("latin-1") for body in self.collector.bodies],
            "log": log.getvalue().splitlines(),
            "messages": self.bus.carried + (await self.tap.heard() if self.tap else []),
            "answers": [f"{answer.headers} {answer.text}" for answer in self.gateway.answers],
            "tables": await everything(self.gateway.admin),
            "redis": await everything_cached(self.redis, self.redis_prefix),
        }
        assert all(places.values()), {name: len(found) for name, found in places.items()}
        return [
            (name, secret, text[:200])
            for name, texts in places.items()
            for text in texts
            for secret in self.canaries.found(text)
        ]


@pytest.fixture
async def world(
    request: pytest.FixtureRequest,
    database_url: str,
    redis_url: str,
    redis_prefix: str,
    log: StringIO,  # noqa: ARG001 - it listens first
) -> AsyncIterator[World]:
    vendor = Vendor()
    async with (
        carrying(request) as (bus, tap),
        running(vendor.app()) as base,
        collecting() as collector,
        tracing_to_collector(collector) as tracing,
        Redis.from_url(redis_url) as redis,
        running_gateway(
            database_url, bus=bus, probe_timeout=8.0, egress_allow="127.0.0.0/8", tracing=tracing
        ) as gateway,
        running_pipeline(database_url, redis_url, redis_prefix, bus=bus, ring=gateway.ring, tracing=tracing),
    ):
        user = gateway.user()
        yield World(gateway, bus, tap, vendor, base, Canaries(), user, redis, redis_prefix, tracing, collector)


@asynccontextmanager
async def carrying(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RecordingBus | RecordingAmqp, Tap | None]]:
    """The in-process bus, or RabbitMQ with a tap, as the test asks."""
    if getattr(request, "param", "memory") == "memory":
        memory = RecordingBus()
        yield memory, None
        await memory.close()
        return
    url, prefix = request.getfixturevalue("amqp_url"), request.getfixturevalue("bus_prefix")
    bus = RecordingAmqp(url, prefix)
    await bus.start()
    async with tapping(url, prefix) as tap:
        yield bus, tap
        await bus.close()


@asynccontextmanager
async def tracing_to_collector(collector: Collector) -> AsyncIterator[OtlpTracing]:
    tracing = OtlpTracing(collector.url, "test")
    yield tracing
    await tracing.close()


async def everything(admin: "asyncpg.Pool[asyncpg.Record]") -> list[str]:
    """Every column of every row of every table, as text; bytes as hex."""
    tables = await admin.fetch(
        "select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = 'public' and c.relkind in ('r', 'p', 'm')"
    )
    return [row[0] for table in tables for row in await admin.fetch(f"select to_jsonb(t)::text from {table['name']} t")]


async def everything_cached(redis: Redis, prefix: str) -> list[str]:
    """Keys and values of whatever type."""
    found = []
    readers: dict[bytes, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
    }
    async for key in redis.scan_iter(f"{prefix}*"):
        kind = await redis.type(key)
        if kind != b"none":
            found.append(f"{key!r} {await readers[kind](key)!r}")
    return found


async def synced(world: World, source_type: str, form: Any, script: str) -> dict[str, Any]:
    """A source of that form whose vendor follows the script: tried, previewed, synced to the end, changed."""
    user = world.user
    config, credentials = form.made(world.base, world.vendor.scenario(script), world.canaries)
    body = {"source_type": source_type, "config": config, "credentials": credentials}
    answer = await user.post("/api/sources", body | {"display_name": script, "sync_frequency": "manual"})
    assert answer.status == 201, answer.text
    path = f"/api/sources/{answer.body['id']}"
    run_id = (await user.post(f"{path}/sync")).body["run_id"]

    async def look() -> dict[str, Any]:
        return dict((await user.get(f"/api/runs/{run_id}")).body)

    run: dict[str, Any] = await eventually(look, lambda run: run["status"] in FINISHED, within=60)
    await user.post(f"{path}/test")
    if script == "denied":
        await user.post("/api/connectors/test", body)
        await user.post("/api/mappings/preview", body | {"entity": "inventory"})
        await misplaced(user, body, path)
    await user.get(path)
    await user.get(f"/api/runs/{run_id}/events")
    return run


async def misplaced(user: User, body: dict[str, Any], path: str) -> None:
    """The secrets where they do not belong: each is refused without being quoted."""
    credentials = body["credentials"]
    text = json.dumps(credentials)
    wrong = [
        body | {"credentials": text},
        body | {"credentials": [credentials]},
        body | {"credentials": credentials | {"type": text}},
        body | {"credentials": credentials | {"surplus": text}},
        body | {"source_type": text[:90]},
        body | {"sync_frequency": text[:90]},
        body | {"config": {"entities": {"inventory": {"url": f"http://u:{quote(text, safe='')}@example.com/"}}}},
        body | {"config": {"entities": {"inventory": {"url": f"http://example.com/?token={quote_plus(text)}"}}}},
    ]
    for each in wrong:
        assert (await user.post("/api/sources", each | {"display_name": "x"})).status == 422, each
        await user.post("/api/connectors/test", each)
    assert (await user.post("/api/sources", text.encode() + b"}")).status == 422
    assert (await user.call("PATCH", path, {"credentials": {"type": text}})).status == 422
    assert (await user.get(f"/api/runs?cursor={quote(text[:300])}")).status == 400


@pytest.mark.parametrize(
    ("world", "step"),
    [("memory", 3), ("rabbitmq", 9), *(pytest.param(bus, 1, marks=SOAK) for bus in ("memory", "rabbitmq"))],
    indirect=["world"],
)
async def test_no_secret_leaves_the_sealed_place_whatever_fails(world: World, log: StringIO, step: int) -> None:
    """Every form of credentials; each with every third script, in turn, or with all of them."""
    specs = discover_specs()
    assert specs.keys() <= FORMS.keys(), "a connector whose credentials this test does not know"
    forms = [(name, form) for name in specs for form in FORMS[name]]
    wanted = [
        (name, form, script)
        for row, (name, form) in enumerate(forms)
        for column, script in enumerate(SCRIPTS)
        if (row + column) % step == 0
    ]
    few = asyncio.Semaphore(30)

    async def one(*each: Any) -> dict[str, Any]:
        async with few:
            return await synced(world, *each)

    runs = await asyncio.gather(*(one(*each) for each in wanted))
    ends = {(script, run["status"]) for (_, _, script), run in zip(wanted, runs, strict=True)}
    wanted_ends = {("fine", "succeeded"), ("shaky", "succeeded"), ("strict", "succeeded"), ("denied", "failed")}
    assert {each for each in wanted_ends if each[0] in {script for *_, script in wanted}} <= ends
    assert all(run["error"] for run in runs if run["status"] == "failed")
    sent = world.canaries.found("\n".join(world.vendor.seen))
    assert {form.label.split()[0] for name in specs for form in FORMS[name]} == {each.split()[0] for each in sent}
    assert await world.leaks(log) == []


def test_a_secret_is_found_in_every_spelling() -> None:
    canaries = Canaries()
    secret = canaries.new("x")
    spellings = [secret, quote(secret), quote_plus(secret), json.dumps(secret), repr(secret), secret.encode().hex()]
    for before in ("", "a", "ab", "user:"):
        spellings.append(base64.b64encode(f"{before}{secret}".encode()).decode())
        spellings.append(base64.urlsafe_b64encode(f"{before}{secret} and more".encode()).decode())
    for spelling in spellings:
        assert canaries.found(f"something {spelling} else"), spelling
    assert canaries.found("nothing") == []


@pytest.mark.parametrize(
    ("world", "place"),
    [
        ("rabbitmq", "tapped"),
        *(("memory", place) for place in ("log", "messages", "tables", "redis", "spans", "answers")),
    ],
    indirect=["world"],
)
async def test_a_planted_leak_is_found(world: World, log: StringIO, place: str) -> None:
    secret = world.canaries.new("planted")
    form = FORMS["json_api"][0]
    await synced(world, "json_api", form, "fine")
    if place == "log":
        logging.getLogger("some.library").debug("sent %s", base64.b64encode(secret.encode()))
    elif place == "tapped":
        await AmqpBus.publish(world.bus, "dead", Message("x", b"{}", {"told": quote(secret)}), delay=9)  # type: ignore[arg-type]
        place = "messages"
    elif place == "messages":
        await world.bus.announce(Message("x", quote(secret).encode()))
    elif place == "tables":
        await world.gateway.admin.execute("update external_data_sources set sync_error = $1", secret)
    elif place == "spans":
        with world.tracing.span("x", "internal", {"told": secret}):
            pass
    elif place == "redis":
        await world.redis.hset(f"{world.redis_prefix}x", "field", secret)
    else:
        await world.user.post("/api/sources", {"source_type": "json_api"} | {secret: 1})
    assert (place, "planted") in {(where, name.removesuffix(" in base64")) for where, name, _ in await world.leaks(log)}
