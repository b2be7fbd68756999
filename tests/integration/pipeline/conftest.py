from collections.abc import AsyncIterator

import pytest

from pipeline import Pipeline, running_pipeline


@pytest.fixture
async def pipeline(database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Pipeline]:
    async with running_pipeline(database_url, redis_url, redis_prefix) as running:
        yield running
