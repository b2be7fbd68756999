"""Hungry callers behind our limiter. Started by limiters.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hungry import Turn, run

from shared.clock import SystemClock
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.ports import Budget, Window
from shared.coordination.redis import RedisServer


async def never_called(_scope: str) -> list[tuple[float, int]]:
    return []


@asynccontextmanager
async def ours(job: dict[str, Any]) -> AsyncIterator[Turn]:
    budget = Budget("bench", (Window(job["limit"], job["window"]),))
    async with RedisServer.at(job["redis_url"]) as server:
        gate = SlotGate(RedisRateLimiter(server, history=never_called, prefix=job["prefix"]), SystemClock())

        @asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            async with gate.step(budget, max_wait=3600.0) as grant, grant.call():
                yield

        yield turn


if __name__ == "__main__":
    run(ours)
