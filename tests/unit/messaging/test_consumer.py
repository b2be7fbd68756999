"""The consumer loop on the in-process bus and a clock that only moves when told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import structlog

from shared.clock import ManualClock
from shared.errors import (
    AuthenticationError,
    BackpressureError,
    Category,
    HeadraceError,
    ParkError,
    PlatformAwayError,
    PoisonMessageError,
    RateLimitedError,
    UnavailableError,
)
from shared.messaging.consumer import BREAKER_LIMIT, HOLD_LIMIT, BatchConsumer, Consumer, Outcome, PauseReason
from shared.messaging.memory import MemoryBus, MemoryFaults
from shared.messaging.ports import Message
from shared.messaging.settle import BusOnlyHooks
from shared.messaging.topology import QueueName

# ruff: noqa: ARG001, ARG002 - fakes have the shape of what they stand for


@dataclass
class Hooks:
    """Remembers what it was told; `trouble` is raised by the next calls, one each."""

    retries: list[tuple[bytes, float]] = field(default_factory=list)
    parks: list[float] = field(default_factory=list)
    failures: list[tuple[bytes, Category, str, str]] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    async def on_retry(self, message: Message, error: BaseException, resume_at: float) -> None:
        self._fail()
        self.retries.append((message.body, resume_at))

    async def on_park(self, message: Message, resume_at: float) -> None:
        self._fail()
        self.parks.append(resume_at)

    def with_slot(self, message: Message, slot: str) -> Message:
        return Message(message.kind, message.body + b"@" + slot.encode(), message.headers)

    async def on_failed(self, message: Message, category: Category, text: str, hint: str) -> None:
        self._fail()
        self.failures.append((message.body, category, text, hint))

    def _fail(self) -> None:
        if self.trouble:
            raise self.trouble.pop(0)


@dataclass
class Seen:
    """An Observer that remembers."""

    outcomes: list[Outcome] = field(default_factory=list)
    pauses: list[PauseReason | None] = field(default_factory=list)
    deliveries: list[list[bytes]] = field(default_factory=list)

    def taken(self, queue: QueueName, messages: Sequence[Message]) -> None:
        self.deliveries.append([message.body for message in messages])

    def handling(self, queue: QueueName, messages: Sequence[Message]) -> AbstractContextManager[None]:
        return nullcontext()

    def handled(self, queue: QueueName, kind: str, outcome: Outcome, seconds: float) -> None:
        self.outcomes.append(outcome)

    def paused(self, queue: QueueName, reason: PauseReason | None) -> None:
        self.pauses.append(reason)


class Rig:
    """A bus, a clock, and a handler that does what the script says; an empty script is success."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bus = MemoryBus(clock=self.clock, faults=MemoryFaults())
        self.hooks = Hooks()
        self.seen = Seen()
        self.stop = asyncio.Event()
        self.script: list[BaseException | None] = []
        self.calls: list[tuple[Message, float]] = []

    async def handle(self, message: Message) -> None:
        self.calls.append((message, self.clock.unix()))
        step = self.script.pop(0) if self.script else None
        if step is not None:
            raise step

    def consumer(self, queue: QueueName = "fetch", workers: int = 1, **changes: object) -> Consumer:
        handler = changes.pop("handler", self.handle)
        return Consumer(
            self.bus,
            queue,
            handler,
            workers=workers,
            prefetch=workers,
            hooks=changes.pop("hooks", self.hooks),
            clock=self.clock,
            observer=self.seen,
            **changes,
        )

    @asynccontextmanager
    async def running(self, consumer: Consumer | BatchConsumer) -> AsyncIterator[None]:
        task = asyncio.create_task(consumer.run(self.stop))
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.wait_for(task, 5)

    async def until(self, condition: Callable[[], bool], *, advance: float = 0) -> None:
        """Wait for it; with `advance`, move the clock by that much whenever nothing happens by itself."""
        async with asyncio.timeout(5):
            while not condition():
                for _ in range(20):
                    await asyncio.sleep(0)
                if advance and not condition():
                    self.clock.advance(advance)

    async def idle(self) -> None:
        """Everything that can happen without time passing has happened."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def publish(self, body: str, queue: QueueName = "fetch", headers: dict[str, int] | None = None) -> None:
        await self.bus.publish(queue, Message("test", body.encode(), headers or {}))

    async def taken(self, queue: QueueName) -> list[Message]:
        got = []
        async with self.bus.subscribe(queue, prefetch=1) as deliveries:
            while (delivery := deliveries.take_nowait()) is not None:
                got.append(delivery.message)
                await delivery.ack()
        return got

    def handled(self) -> list[bytes]:
        return [message.body for message, _ in self.calls]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.bus.close()


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


class Batches:
    """A batch handler that remembers its batches and fails when a body is among `guilty`."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.guilty: dict[bytes, Exception] = {}
        self.away = 0

    async def handle(self, messages: list[Message]) -> None:
        self.batches.append([message.body for message in messages])
        if self.away:
            self.away -= 1
            raise PlatformAwayError("postgres")
        for message in messages:
            if message.body in self.guilty:
                raise self.guilty[message.body]


def batch_consumer(rig: Rig, handler: Callable[[list[Message]], Awaitable[None]], **changes: int) -> BatchConsumer:
    sizes = {"workers": 1, "prefetch": 20, "max_batch": 4, "max_bytes": 10_000, **changes}
    return BatchConsumer(rig.bus, "write", handler, hooks=rig.hooks, clock=rig.clock, observer=rig.seen, **sizes)


async def test_a_batch_takes_what_is_there_within_its_bounds(rig: Rig) -> None:
    batches = Batches()
    for number in range(10):
        await rig.publish(f"{number}", "write")

    async with rig.running(batch_consumer(rig, batches.handle)):
        await rig.until(lambda: sum(map(len, batches.batches)) == 10)

    assert [len(batch) for batch in batches.batches] == [4, 4, 2]
    assert await rig.taken("write") == []


async def test_a_batch_closes_when_its_bytes_are_reached(rig: Rig) -> None:
    batches = Batches()
    for _ in range(4):
        await rig.publish("x" * 60, "write")

    async with rig.running(batch_consumer(rig, batches.handle, max_bytes=100)):
        await rig.until(lambda: sum(map(len, batches.batches)) == 4)

    assert [len(batch) for batch in batches.batches] == [2, 2]


async def test_only_the_guilty_message_of_a_batch_gets_the_decision(rig: Rig) -> None:
    batches = Batches()
    batches.guilty = {b"1": PoisonMessageError("bad")}
    for number in range(3):
        await rig.publish(f"{number}", "write")

    async with rig.running(batch_consumer(rig, batches.handle)):
        await rig.until(lambda: len(batches.batches) == 4)
        await rig.idle()

    assert batches.batches == [[b"0", b"1", b"2"], [b"0"], [b"1"], [b"2"]]
    assert rig.seen.outcomes == ["split", "done", "dead", "done"]
    assert [message.body for message in await rig.taken("dead")] == [b"1"]
    assert await rig.taken("write") == []


async def test_an_outage_is_not_a_batchs_fault(rig: Rig) -> None:
    batches = Batches()
    batches.away = 2
    for number in range(3):
        await rig.publish(f"{number}", "write")

    async with rig.running(batch_consumer(rig, batches.handle)):
        await rig.until(lambda: "done" in rig.seen.outcomes, advance=0.1)

    assert batches.batches == [[b"0", b"1", b"2"]] * 3
