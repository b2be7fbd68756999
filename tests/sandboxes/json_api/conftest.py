"""The sandbox's real data behind a server, on a clock that stands still."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from json_api_client import Steps

from sandboxes.behaviour.server import Behaviour
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def state(steps: Steps) -> JsonApiState:
    return JsonApiState.northwind(Behaviour(steady=steps))


@pytest.fixture
async def session(state: JsonApiState) -> AsyncIterator[aiohttp.ClientSession]:
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        yield session
