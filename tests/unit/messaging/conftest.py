"""A rig for every test, closed after it."""

from collections.abc import AsyncIterator

import pytest
from consumer_rig import Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.bus.close()
