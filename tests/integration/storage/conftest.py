from collections.abc import AsyncIterator

import pytest
from core_rig import Core, opened_core


@pytest.fixture
async def core(database_url: str) -> AsyncIterator[Core]:
    async with opened_core(database_url) as opened:
        yield opened
