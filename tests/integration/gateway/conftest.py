"""A gateway for each test; whatever it answered must not hold the secret that the tests use."""

from collections.abc import AsyncIterator

import pytest
from gateway_harness import CREDENTIALS, Gateway, User, running_gateway


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with running_gateway(database_url) as running:
        yield running
    for answer in running.answers:
        assert CREDENTIALS["token"] not in answer.text


@pytest.fixture
def user(gateway: Gateway) -> User:
    return gateway.user()


@pytest.fixture
def stranger(gateway: Gateway) -> User:
    return gateway.user()
