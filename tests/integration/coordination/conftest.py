"""A real Redis, and keys of its own for every test."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from limiter_rig import Rig, make_budget
from redis.asyncio import Redis

from shared.coordination.ports import Budget
from shared.coordination.redis import RedisServer


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    async with RedisServer.at(redis_url) as server, Redis.from_url(redis_url) as raw:
        made = Rig(server=server, raw=raw, prefix=f"test:{uuid.uuid4().hex}:")
        yield made
        await made.empty()


@pytest.fixture
def budget() -> Callable[..., Budget]:
    return make_budget
