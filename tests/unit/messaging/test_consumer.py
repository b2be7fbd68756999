"""How the consumer settles each message: done, retried, parked, failed, buried or given back."""

import asyncio
from itertools import pairwise

import pytest
import structlog
from consumer_rig import Rig

from shared.errors import (
    AuthenticationError,
    HeadraceError,
    ParkError,
    PoisonMessageError,
    RateLimitedError,
    UnavailableError,
)
from shared.messaging.consumer import Consumer
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Message
from shared.messaging.settle import BusOnlyHooks
from shared.messaging.topology import QueueName

# ruff: noqa: ARG001 - fakes have the shape of what they stand for


async def test_a_handled_message_is_gone(rig: Rig) -> None:
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: rig.seen.outcomes == ["done"])

    assert rig.handled() == [b"a"]
    assert await rig.taken("fetch") == []


async def test_an_unavailable_vendor_is_retried_on_schedule_and_then_fails_the_entity(rig: Rig) -> None:
    rig.script = [UnavailableError("502", hint="wait")] * 6
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: bool(rig.hooks.failures), advance=0.5)

    times = [at for _, at in rig.calls]
    assert [later - earlier for earlier, later in pairwise(times)] == [1, 2, 4, 8, 16]
    assert [resume_at for _, resume_at in rig.hooks.retries] == times[1:]
    assert rig.hooks.failures == [(b"a", "NETWORK_ERROR", "502", "wait")]
    assert (await rig.taken("fetch"), await rig.taken("dead")) == ([], [])


async def test_each_kind_of_error_counts_for_itself(rig: Rig) -> None:
    rig.script = [
        RateLimitedError("429", retry_after=7),
        UnavailableError("502"),
        RateLimitedError("429"),
        ValueError("x"),
    ]
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: "done" in rig.seen.outcomes, advance=0.5)

    times = [at for _, at in rig.calls]
    assert [later - earlier for earlier, later in pairwise(times)] == [7, 1, 60, 1]
    assert rig.calls[-1][0].headers == {"attempt_rate_limited": 2, "attempt_transient": 1, "attempt_internal": 1}


async def test_what_a_person_must_mend_fails_at_once(rig: Rig) -> None:
    rig.script = [AuthenticationError("refused", hint="new key")]
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: bool(rig.hooks.failures))

    assert rig.hooks.failures == [(b"a", "AUTH_FAILED", "refused", "new key")]
    assert rig.seen.outcomes == ["fail"]


async def test_a_parked_message_comes_back_shortly_before_its_slot_and_carries_it(rig: Rig) -> None:
    rig.script = [ParkError("later", resume_at=0, slot="s7", wait=30)]
    await rig.publish("a")
    started = rig.clock.unix()

    async with rig.running(rig.consumer()):
        await rig.until(lambda: len(rig.calls) == 2, advance=0.1)

    assert rig.hooks.parks == [started + 30]
    assert rig.calls[1][0] == Message("test", b"a@s7", {})
    assert started + 29.6 <= rig.calls[1][1] <= started + 30


async def test_a_poisoned_message_is_buried_with_its_reason(rig: Rig) -> None:
    rig.script = [PoisonMessageError("no such run")]
    await rig.publish("a", headers={"attempt_transient": 1})

    async with rig.running(rig.consumer()):
        await rig.until(lambda: rig.seen.outcomes == ["dead"])

    headers = {
        "attempt_transient": 1,
        "queue": "fetch",
        "reason": "no such run",
        "category": "INTERNAL_ERROR",
        "hint": "",
    }
    assert await rig.taken("dead") == [Message("test", b"a", headers)]


async def test_a_bug_is_retried_then_buried_without_its_text(rig: Rig) -> None:
    rig.script = [KeyError("s3cret")] * 4
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: rig.seen.outcomes == ["retry", "retry", "retry", "dead"], advance=0.5)

    (dead,) = await rig.taken("dead")
    assert (dead.headers["reason"], dead.headers["category"]) == ("unexpected KeyError", "INTERNAL_ERROR")
    assert "s3cret" not in repr(dead)


async def test_stopping_lets_the_running_finish_and_gives_back_the_rest(rig: Rig) -> None:
    go_on = asyncio.Event()
    done: list[bytes] = []

    async def handler(message: Message) -> None:
        await go_on.wait()
        done.append(message.body)

    for number in range(5):
        await rig.publish(f"{number}")
    running = asyncio.create_task(rig.consumer(workers=2, handler=handler).run(rig.stop))
    await rig.idle()

    rig.stop.set()
    await rig.idle()
    assert not running.done()
    go_on.set()
    await asyncio.wait_for(running, 5)

    assert sorted(done) == [b"0", b"1"]
    assert sorted(message.body for message in await rig.taken("fetch")) == [b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (RuntimeError("s3cret"), "unexpected RuntimeError while settling"),
        (PoisonMessageError("no such run"), "no such run"),
    ],
)
async def test_a_broken_hook_does_not_lose_the_message(rig: Rig, trouble: Exception, reason: str) -> None:
    rig.script = [AuthenticationError("refused")]
    rig.hooks.trouble = [trouble]
    await rig.publish("a")

    async with rig.running(rig.consumer()):
        await rig.until(lambda: rig.seen.outcomes == ["fail"])
        await rig.idle()

    (dead,) = await rig.taken("dead")
    assert (dead.body, dead.headers["reason"]) == (b"a", reason)


@pytest.mark.parametrize(
    "error", [UnavailableError("502"), ParkError("l", resume_at=0, slot="s", wait=9), PoisonMessageError("x")]
)
async def test_a_crash_between_publish_and_ack_doubles_but_never_loses(rig: Rig, error: HeadraceError) -> None:
    """The worker dies with the message unsettled, after what had to be published was."""
    rig.script = [error]
    await rig.publish("a")
    published = asyncio.Event()

    class DyingBus(MemoryBus):
        async def publish(self, queue: QueueName, message: Message, *, delay: float = 0) -> None:
            await rig.bus.publish(queue, message, delay=delay)
            published.set()
            await asyncio.Event().wait()  # the process is killed here

    dying = DyingBus(clock=rig.clock)
    dying.subscribe = rig.bus.subscribe  # type: ignore[method-assign] # one broker, seen by two processes
    consumer = Consumer(dying, "fetch", rig.handle, workers=1, prefetch=1, hooks=rig.hooks, clock=rig.clock)
    run = asyncio.create_task(consumer.run(rig.stop))
    await asyncio.wait_for(published.wait(), 5)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    rig.clock.advance(60)
    await rig.idle()
    alive = await rig.taken("fetch") + await rig.taken("dead")
    assert len(alive) == 2


async def test_a_crash_in_the_handler_brings_the_message_back(rig: Rig) -> None:
    async def handler(message: Message) -> None:
        await asyncio.Event().wait()

    await rig.publish("a")
    run = asyncio.create_task(rig.consumer(handler=handler).run(rig.stop))
    await rig.idle()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    assert [message.body for message in await rig.taken("fetch")] == [b"a"]


@pytest.mark.parametrize("error", [PoisonMessageError("cannot store"), AuthenticationError("refused")])
async def test_a_dead_letter_that_cannot_be_stored_keeps_its_reason_and_does_not_spin(
    rig: Rig, error: HeadraceError
) -> None:
    rig.script = [error]
    await rig.bus.publish("dead", Message("test", b"a", {"reason": "the first"}))

    async with rig.running(rig.consumer("dead", hooks=BusOnlyHooks(rig.bus, "dead"))):
        await rig.until(lambda: bool(rig.seen.outcomes))
        await rig.idle()
        assert len(rig.calls) == 1
        await rig.until(lambda: len(rig.calls) == 2, advance=30)

    assert rig.calls[1][0] == Message("test", b"a", {"reason": "the first"})


async def test_without_a_database_a_failed_step_goes_to_the_dead_letters(rig: Rig) -> None:
    rig.script = [AuthenticationError("refused", hint="new key")]
    await rig.publish("a", "transform")

    async with rig.running(rig.consumer("transform", hooks=BusOnlyHooks(rig.bus, "transform"))):
        await rig.until(lambda: rig.seen.outcomes == ["fail"])
        await rig.idle()

    headers = {"queue": "transform", "reason": "refused", "category": "AUTH_FAILED", "hint": "new key"}
    assert await rig.taken("dead") == [Message("test", b"a", headers)]


async def test_what_a_handler_returns_answers_the_request(rig: Rig) -> None:
    async def handler(message: Message) -> Message:
        return Message("probe.reply", b"re:" + message.body)

    async with rig.running(rig.consumer("probe", handler=handler)):
        reply = await rig.bus.request("probe", Message("probe.requested", b"q"), timeout=5)

    assert reply == Message("probe.reply", b"re:q", {})


async def test_log_lines_carry_the_message_and_nothing_stays(rig: Rig) -> None:
    seen: list[dict[str, object]] = []

    async def handler(message: Message) -> None:
        seen.append(structlog.contextvars.get_contextvars())
        raise PoisonMessageError("x")

    await rig.publish("a")
    async with rig.running(rig.consumer(handler=handler)):
        await rig.until(lambda: bool(seen))

    assert seen == [{"queue": "fetch", "kind": "test", "messages": 1}]
    assert structlog.contextvars.get_contextvars() == {}


async def test_doubled_and_reordered_messages_are_all_handled(rig: Rig) -> None:
    rig.bus.faults.duplicate_every = 3
    for number in range(9):
        await rig.publish(f"{number}")

    async with rig.running(rig.consumer(workers=3)):
        await rig.until(lambda: len(rig.calls) == 13)

    assert len(set(rig.handled())) == 9
