"""Hungry callers behind pyrate-limiter's Redis bucket. Started by limiters.py in the peer's interpreter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hungry import Turn, run
from pyrate_limiter import Limiter, Rate, RedisBucket
from redis.asyncio import Redis


@asynccontextmanager
async def pyrate(job: dict[str, Any]) -> AsyncIterator[Turn]:
    rate = Rate(job["limit"], int(job["window"] * 1000))
    bucket = await RedisBucket.init([rate], Redis.from_url(job["redis_url"]), job["prefix"] + "pyrate")
    limiter = Limiter(bucket)

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        while not await limiter.try_acquire_async("bench", blocking=True):
            pass
        yield

    yield turn


if __name__ == "__main__":
    run(pyrate)
