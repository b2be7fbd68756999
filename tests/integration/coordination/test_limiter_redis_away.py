"""Redis away, stalled or odd: the limiter says so quickly, and never lets a call pass."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import redis.exceptions
from limiter_rig import Rig
from one_call import one_call

from shared.clock import SystemClock
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.ports import Budget
from shared.coordination.redis import RedisServer, Script
from shared.errors import PlatformAwayError

Make = Callable[..., Budget]


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A server that takes every byte and never answers."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def closed_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_closed_port_refuses_every_operation(closed_port: int, budget: Make) -> None:
    async def history(_scope: str) -> list[tuple[float, int]]:
        return []

    mine = budget((5, 1.0), concurrency=1)
    async with RedisServer.at(f"redis://127.0.0.1:{closed_port}/0") as server:
        limiter = RedisRateLimiter(server, history=history)
        for operation in (
            limiter.reserve(mine),
            limiter.redeem(mine, "slot"),
            limiter.start(mine, "slot", "lease"),
            limiter.renew(mine, "lease"),
            limiter.release(mine, "lease"),
            limiter.unused(mine, "slot"),
            limiter.block("a", 1),
            server.get("key"),
            server.set("key", b"value", ttl=1),
            server.delete("key"),
        ):
            with pytest.raises(PlatformAwayError, match="Redis"):
                await operation
        assert not await server.ready()
        called = False
        with pytest.raises(PlatformAwayError):
            async with one_call(SlotGate(limiter, SystemClock()), mine):
                called = True
        assert not called


async def test_a_server_that_does_not_answer_is_away_within_its_timeout(silent_port: int, budget: Make) -> None:
    async def history(_scope: str) -> list[tuple[float, int]]:
        return []

    async with RedisServer.at(f"redis://127.0.0.1:{silent_port}/0", timeout=0.3) as server:
        began = time.monotonic()
        with pytest.raises(PlatformAwayError):
            await RedisRateLimiter(server, history=history).reserve(budget((5, 1.0)))
        assert time.monotonic() - began < 1.5


def every_redis_error() -> list[type[Exception]]:
    found = [kind for _, kind in inspect.getmembers(redis.exceptions, inspect.isclass) if issubclass(kind, Exception)]
    return [*found, OSError, ConnectionResetError, TimeoutError]


@pytest.mark.parametrize("kind", every_redis_error(), ids=lambda kind: kind.__name__)
async def test_every_error_of_redis_is_platform_away(kind: type[Exception]) -> None:
    class Failing:
        async def evalsha(self, *_args: object) -> None:
            raise kind.__new__(kind)

        eval = get = evalsha

    server = RedisServer(cast(Any, Failing()), timeout=1.0)
    with pytest.raises(PlatformAwayError):
        await server.run(Script("return 1"), [], [])
    with pytest.raises(PlatformAwayError):
        await server.get("key")


async def test_a_dropped_connection_and_forgotten_scripts_are_survived(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((50, 60.0))
    assert (await limiter.reserve(mine)).wait == 0
    pool = rig.server._client.connection_pool
    for connection in list(pool._available_connections if hasattr(pool, "_available_connections") else []):
        connection._writer.close()  # what a restart of the server does to a pooled connection
    await rig.raw.script_flush()
    assert (await limiter.reserve(mine)).wait == 0


async def test_values_are_stored_with_their_time_to_live(rig: Rig) -> None:
    key = f"{rig.prefix}value"
    assert await rig.server.get(key) is None
    await rig.server.set(key, b"\x00\xff", ttl=30)
    assert await rig.server.get(key) == b"\x00\xff"
    assert 29_000 < await rig.raw.pttl(key) <= 30_000
    await rig.server.delete(key)
    assert await rig.server.get(key) is None
    assert await rig.server.ready()
