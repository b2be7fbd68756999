"""No test of a source holds a worker of all users for long; only what must be kept is awaited."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from uuid import uuid4

import pytest

from services.fetcher.app import probing
from services.fetcher.opening import SourceOpener
from services.fetcher.probe_time import in_time
from services.fetcher.probing import LATE_PROBE
from shared.contracts.messages import (
    ConsentRequested,
    MessageModel,
    ProbeReply,
    ProbeRequested,
    SampleReply,
    SampleRequested,
    decode,
    encode,
)
from shared.coordination.ports import RateLimiter
from shared.messaging.ports import Message
from shared.storage.database import Database


class Hanging:
    """A database, as the first of what a test waits for, that never answers; knows who gave up."""

    def __init__(self) -> None:
        self.given_up = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
            yield
        finally:
            self.given_up += 1


def message(request: MessageModel) -> Message:
    return Message(request.KIND, encode(request))


PROBE = message(ProbeRequested(probe_id=uuid4()))
SAMPLE = message(SampleRequested(probe_id=uuid4(), entity="inventory", size=1))


async def test_a_test_that_takes_too_long_is_answered_and_ended() -> None:
    hanging = Hanging()
    handle = probing(cast(Database, hanging), cast(SourceOpener, None), cast(RateLimiter, None), seconds=0.01)
    async with asyncio.timeout(10):
        probe, sample = await handle(PROBE), await handle(SAMPLE)
    assert probe is not None
    assert sample is not None
    for reply in (decode(ProbeReply, probe.body), decode(SampleReply, sample.body)):
        assert (reply.ok, reply.category) == (False, "NETWORK_ERROR")
        assert reply.hint
    assert hanging.given_up == 2


async def test_what_a_consent_brings_is_awaited() -> None:
    hanging = Hanging()
    handle = probing(cast(Database, hanging), cast(SourceOpener, None), cast(RateLimiter, None), seconds=0.01)
    consent = asyncio.ensure_future(handle(message(ConsentRequested(consent_id=uuid4()))))
    assert await handle(PROBE) is not None
    assert (hanging.given_up, consent.done()) == (1, False)
    consent.cancel()
    await asyncio.gather(consent, return_exceptions=True)


async def test_a_time_out_of_the_handlers_own_stays_an_error() -> None:
    async def fails(_message: Message) -> Message:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await in_time(fails, LATE_PROBE)(PROBE)
