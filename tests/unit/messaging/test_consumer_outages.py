"""Outages and full queues hold a consumer's messages: none is spent, lost or done twice."""

import asyncio
from itertools import pairwise

import pytest
from consumer_rig import Rig

from shared.errors import AuthenticationError, BackpressureError, PlatformAwayError, UnavailableError
from shared.messaging.consumer import HOLD_LIMIT
from shared.messaging.ports import Message

# ruff: noqa: ARG001 - fakes have the shape of what they stand for


async def test_an_outage_holds_the_message_and_spends_nothing(rig: Rig) -> None:
    rig.script = [PlatformAwayError("redis")] * 6
    await rig.publish("a")
    consumer = rig.consumer()

    async with rig.running(consumer):
        await rig.until(lambda: len(rig.calls) == 1)
        await rig.until(lambda: not consumer.ready)
        await rig.until(lambda: "done" in rig.seen.outcomes, advance=0.1)
        assert consumer.ready

    times = [at for _, at in rig.calls]
    waits = [round(later - earlier, 1) for earlier, later in pairwise(times)]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0], abs=0.11)
    assert {len(message.headers) for message, _ in rig.calls} == {0}
    assert rig.seen.pauses == ["platform", None]
    assert rig.seen.deliveries == [[b"a"]], "it was delivered once, however often it was tried"


async def test_all_workers_pause_together_and_one_tries(rig: Rig) -> None:
    down = True
    calls: list[float] = []

    async def handler(message: Message) -> None:
        calls.append(rig.clock.unix())
        await asyncio.sleep(0)
        if down:
            raise PlatformAwayError("postgres")

    for number in range(4):
        await rig.publish(f"{number}")

    async with rig.running(rig.consumer(workers=4, handler=handler)):
        await rig.until(lambda: len(calls) == 4)  # all had started
        await rig.idle()
        for expected in range(5, 9):
            rig.clock.advance(5)
            await rig.idle()
            assert len(calls) == expected, "one at a time while it is away"
        down = False
        rig.clock.advance(5)
        await rig.until(lambda: rig.seen.outcomes.count("done") == 4)

    assert await rig.taken("fetch") == []


async def test_a_full_queue_downstream_pauses_but_is_no_illness(rig: Rig) -> None:
    rig.script = [BackpressureError("full")]
    await rig.publish("a")
    consumer = rig.consumer()

    async with rig.running(consumer):
        await rig.until(lambda: rig.seen.pauses == ["backpressure"])
        assert consumer.ready
        await rig.until(lambda: rig.seen.outcomes[-1:] == ["done"], advance=0.1)


async def test_a_long_outage_lets_go_before_the_broker_takes_away(rig: Rig) -> None:
    rig.script = [PlatformAwayError("postgres")] * 10_000
    await rig.publish("a", headers={"attempt_transient": 1})

    async with rig.running(rig.consumer()):
        await rig.until(lambda: rig.clock.unix() - rig.calls[0][1] > HOLD_LIMIT + 60 if rig.calls else False, advance=5)
        rig.script.clear()
        await rig.until(lambda: "done" in rig.seen.outcomes, advance=5)

    assert rig.calls[-1][0] == Message("test", b"a", {"attempt_transient": 1})
    assert await rig.taken("dead") == []


async def test_stopping_during_an_outage_gives_the_message_back(rig: Rig) -> None:
    rig.script = [PlatformAwayError("postgres")] * 100
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: rig.seen.pauses == ["platform"])

    assert [message.body for message in await rig.taken("fetch")] == [b"a"]


async def test_a_hook_that_meets_an_outage_is_called_again(rig: Rig) -> None:
    rig.script = [AuthenticationError("refused")]
    rig.hooks.trouble = [PlatformAwayError("postgres"), PlatformAwayError("postgres")]
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: bool(rig.hooks.failures), advance=0.1)

    assert rig.handled() == [b"a"], "the step itself is not done again"
    assert await rig.taken("fetch") == []


async def test_publishing_a_retry_waits_for_the_broker(rig: Rig) -> None:
    rig.script = [UnavailableError("502")]
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        rig.bus.faults.away = True
        await rig.until(lambda: rig.seen.pauses == ["platform"])
        rig.bus.faults.away = False
        await rig.until(lambda: "done" in rig.seen.outcomes, advance=0.1)

    assert rig.calls[-1][0].headers == {"attempt_transient": 1}
