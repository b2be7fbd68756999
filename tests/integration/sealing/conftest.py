from collections.abc import AsyncIterator

import asyncpg
import pytest
from key_rig import Vault


@pytest.fixture
async def vault(database_url: str) -> AsyncIterator[Vault]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        yield Vault(database_url, pool)
