"""The breaker: burying message after message stops a consumer, and a success between starts its count anew."""

from consumer_rig import Rig

from shared.errors import PoisonMessageError
from shared.messaging.consumer import BREAKER_LIMIT


async def test_the_breaker_stops_a_bad_deploy_from_draining_the_queue(rig: Rig) -> None:
    rig.script = [PoisonMessageError("schema") for _ in range(BREAKER_LIMIT + 2)]
    for number in range(BREAKER_LIMIT + 5):
        await rig.publish(f"{number}")
    consumer = rig.consumer(workers=2)

    async with rig.running(consumer):
        await rig.until(lambda: rig.seen.pauses == ["breaker"])
        await rig.idle()
        handled = len(rig.calls)
        assert BREAKER_LIMIT <= handled <= BREAKER_LIMIT + 1  # a second worker may have been under way
        assert not consumer.ready
        rig.clock.advance(29)
        await rig.idle()
        assert len(rig.calls) == handled
        rig.clock.advance(1)
        await rig.until(lambda: len(rig.calls) == handled + 1)
        await rig.idle()
        rig.clock.advance(31)  # the second wait is longer
        await rig.idle()
        assert len(rig.calls) == handled + 1
        rig.script.clear()
        await rig.until(lambda: rig.seen.pauses[-1] is None, advance=10)
        await rig.until(lambda: len(rig.calls) == BREAKER_LIMIT + 5)
        assert consumer.ready

    assert await rig.taken("fetch") == []


async def test_a_success_between_resets_the_breaker(rig: Rig) -> None:
    bad = [PoisonMessageError("x")] * (BREAKER_LIMIT - 1)
    rig.script = [*bad, None, *bad]
    for number in range(len(rig.script)):
        await rig.publish(f"{number}")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: len(rig.calls) == 2 * len(bad) + 1)
        await rig.idle()

    assert rig.seen.pauses == []


async def test_strangers_cannot_trip_a_breaker_that_is_off(rig: Rig) -> None:
    rig.script = [PoisonMessageError("x")] * (BREAKER_LIMIT * 3)
    for number in range(len(rig.script)):
        await rig.publish(f"{number}", "public")

    async with rig.running(rig.consumer("public", breaker_limit=None)):
        await rig.until(lambda: len(rig.calls) == BREAKER_LIMIT * 3)
        await rig.idle()

    assert rig.seen.pauses == []
