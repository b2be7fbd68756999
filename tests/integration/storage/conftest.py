from collections.abc import AsyncIterator

import pytest
from core_rig import Core, opened_core


@pytest.fixture(params=["database_url", "database18_url"], ids=["machine", "postgres18"])
def each_database_url(request: pytest.FixtureRequest) -> str:
    """The oldest PostgreSQL at hand and the newest: SQL is the owner of the pipeline's promises."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def core(each_database_url: str) -> AsyncIterator[Core]:
    async with opened_core(each_database_url) as opened:
        yield opened
