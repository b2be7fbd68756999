"""The consumer loop: the one place where an error meets its decision, and where a message is acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Literal, Protocol, assert_never

import structlog

from shared.clock import Clock
from shared.errors import BackpressureError, PlatformAwayError, PoisonMessageError
from shared.messaging.decisions import Attempts, DeadLetter, FailStep, Park, Pause, RetryAfter, decide
from shared.messaging.gate import Gate
from shared.messaging.ports import Bus, Delivery, Message, Subscription
from shared.messaging.settle import ConsumerHooks, Settled, Settler
from shared.messaging.topology import QueueName

OUTAGE_WAITS = (0.2, 5.0)
"""Seconds between two tries while Postgres, Redis or the broker is away: first, longest."""
HOLD_LIMIT = 20 * 60.0
"""Seconds of an outage after which messages are no longer held: RabbitMQ takes them away after 30 minutes."""
LET_GO_DELAY = 5.0
"""Seconds until a message that was let go comes back."""
BREAKER_LIMIT = 10
"""Dead letters in a row, with no success between, that mean the fault is ours and not the messages'."""
BREAKER_WAITS = (30.0, 300.0)
"""Seconds before the next try then: first, longest. A bad deploy must not drain the queue into the dead letters."""
LINGER = 0.005
"""Seconds that a batch waits for company."""

Handler = Callable[[Message], Awaitable[Message | None]]
"""Handles one message, any number of times. What it returns is sent to whoever asked, if anybody did."""
BatchHandler = Callable[[list[Message]], Awaitable[None]]
Outcome = Literal["done", "retry", "park", "fail", "dead", "pause", "split"]
PauseReason = Literal["platform", "backpressure", "breaker"]

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Observer(Protocol):
    """What metrics want to know of a consumer."""

    def taken(self, queue: QueueName, messages: Sequence[Message]) -> None:
        """These were delivered and come to their handler now: once, however often it is called."""
        ...

    def handling(self, queue: QueueName, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """Entered for each call of the handler; it sees the handler's error."""
        ...

    def handled(self, queue: QueueName, kind: str, outcome: Outcome, seconds: float) -> None:
        """One call of the handler, for one message or batch, took `seconds`."""
        ...

    def paused(self, queue: QueueName, reason: PauseReason | None) -> None:
        """The consumer paused, or (None) goes on."""
        ...


class SilentObserver:
    """Tells nobody."""

    def taken(self, queue: QueueName, messages: Sequence[Message]) -> None:
        """Ignored."""

    def handling(self, queue: QueueName, messages: Sequence[Message]) -> AbstractContextManager[None]:  # noqa: ARG002 - the port's shape
        """Ignored."""
        return nullcontext()

    def handled(self, queue: QueueName, kind: str, outcome: Outcome, seconds: float) -> None:
        """Ignored."""

    def paused(self, queue: QueueName, reason: PauseReason | None) -> None:
        """Ignored."""


class Consumer:
    """Runs `workers` handlers at a time on one queue.

    `breaker_limit` None switches the breaker off, for a queue whose messages strangers write.
    """

    def __init__(
        self,
        bus: Bus,
        queue: QueueName,
        handler: Handler,
        *,
        workers: int,
        prefetch: int,
        hooks: ConsumerHooks,
        clock: Clock,
        observer: Observer | None = None,
        breaker_limit: int | None = BREAKER_LIMIT,
    ) -> None:
        async def handle(messages: list[Message]) -> Message | None:
            return await handler(messages[0])

        self._loop = _Loop(bus, queue, handle, _alone, hooks, clock, observer or SilentObserver(), breaker_limit)
        self._workers = workers
        self._prefetch = prefetch

    @property
    def ready(self) -> bool:
        """False while the platform is away or the breaker is open; a full queue downstream is everyday life."""
        return self._loop.pause_reason in (None, "backpressure")

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set: then unstarted messages go back and running ones finish."""
        await self._loop.run(stop, self._workers, self._prefetch)


class BatchConsumer:
    """Runs `workers` handlers at a time, each on the messages that are there at once.

    A batch closes with `max_batch` messages or when `max_bytes` of bodies are reached (the last one may exceed it).
    If it fails, its messages are handled one by one, so that only the guilty one gets the decision.
    """

    def __init__(
        self,
        bus: Bus,
        queue: QueueName,
        handler: BatchHandler,
        *,
        workers: int,
        prefetch: int,
        max_batch: int,
        max_bytes: int,
        hooks: ConsumerHooks,
        clock: Clock,
        observer: Observer | None = None,
        breaker_limit: int | None = BREAKER_LIMIT,
    ) -> None:
        async def handle(messages: list[Message]) -> None:
            await handler(messages)

        async def gather(first: Delivery, deliveries: Subscription) -> list[Delivery]:
            batch, size, lingered = [first], len(first.message.body), False
            while len(batch) < max_batch and size < max_bytes:
                if (another := deliveries.take_nowait()) is not None:
                    batch.append(another)
                    size += len(another.message.body)
                elif lingered:
                    break
                else:
                    lingered = True
                    await asyncio.sleep(LINGER)
            return batch

        self._loop = _Loop(bus, queue, handle, gather, hooks, clock, observer or SilentObserver(), breaker_limit)
        self._workers = workers
        self._prefetch = prefetch

    @property
    def ready(self) -> bool:
        """As Consumer's."""
        return self._loop.pause_reason in (None, "backpressure")

    async def run(self, stop: asyncio.Event) -> None:
        """As Consumer's."""
        await self._loop.run(stop, self._workers, self._prefetch)


async def _alone(first: Delivery, deliveries: Subscription) -> list[Delivery]:  # noqa: ARG001 - the shape of a gatherer
    return [first]


class _Loop:
    """What both consumers are made of: a batch of one is handled no differently."""

    def __init__(
        self,
        bus: Bus,
        queue: QueueName,
        handle: Callable[[list[Message]], Awaitable[Message | None]],
        gather: Callable[[Delivery, Subscription], Awaitable[list[Delivery]]],
        hooks: ConsumerHooks,
        clock: Clock,
        observer: Observer,
        breaker_limit: int | None,
    ) -> None:
        self._bus = bus
        self._queue: QueueName = queue
        self._handle = handle
        self._gather = gather
        self._settler = Settler(bus, queue, hooks, clock)
        self._clock = clock
        self._observer = observer
        self._breaker_limit = breaker_limit
        self._dead_in_a_row = 0
        self._outage = Gate(clock, first=OUTAGE_WAITS[0], longest=OUTAGE_WAITS[1])
        self._breaker = Gate(clock, first=BREAKER_WAITS[0], longest=BREAKER_WAITS[1])
        self._stop = asyncio.Event()
        self.pause_reason: PauseReason | None = None

    async def run(self, stop: asyncio.Event, workers: int, prefetch: int) -> None:
        self._stop = stop
        async with self._bus.subscribe(self._queue, prefetch=prefetch) as deliveries:
            stopper = asyncio.create_task(_stop_with(stop, deliveries))
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(workers):
                        tasks.create_task(self._work(deliveries))
            finally:
                stopper.cancel()
                with suppress(asyncio.CancelledError):
                    await stopper

    async def _work(self, deliveries: Subscription) -> None:
        async for first in deliveries:
            batch = await self._gather(first, deliveries)
            self._observer.taken(self._queue, [delivery.message for delivery in batch])
            await self._process(batch)

    async def _process(self, batch: list[Delivery]) -> None:
        context = {"queue": self._queue, "kind": batch[0].message.kind, "messages": len(batch)}
        with structlog.contextvars.bound_contextvars(**context):
            async with self._breaker.passage(self._stop):
                failure = await self._attempt(batch)
                if failure is not None and len(batch) == 1:
                    await self._settle(batch[0], *failure)
        if failure is not None and len(batch) > 1:
            for delivery in batch:
                await self._process([delivery])

    async def _attempt(self, batch: list[Delivery]) -> tuple[Exception, Settled] | None:
        """Call the handler until the platform lets it end; None when nothing is left to do for these messages."""
        messages = [delivery.message for delivery in batch]
        while True:
            async with self._outage.passage(self._stop):
                if self._stop.is_set() and self.pause_reason is not None:
                    break
                started = time.perf_counter()
                try:
                    with self._observer.handling(self._queue, messages):
                        reply = await self._handle(messages)
                except Exception as error:  # noqa: BLE001 - every error of a handler is decided here
                    attempts = Attempts.of(messages[0].headers)
                    decision = decide(error, attempts, now=self._clock.unix())
                    outcome = _outcome(decision) if len(batch) == 1 else "split"
                    self._observe(batch, "pause" if isinstance(decision, Pause) else outcome, started)
                    if not isinstance(decision, Pause):
                        self._platform_is_back()
                        return error, decision
                    self._platform_is_away(error)
                else:
                    self._observe(batch, "done", started)
                    self._platform_is_back()
                    self._close_breaker_case()
                    await self._finish(batch, reply)
                    return None
            if self._outage.closed_for() > HOLD_LIMIT:
                break
        await self._let_go(batch)
        return None

    async def _settle(self, delivery: Delivery, error: Exception, decision: Settled) -> None:
        """Carry the decision out, however long the platform is away, then acknowledge."""
        while True:
            async with self._outage.passage(self._stop):
                if self._stop.is_set() and not self._outage.is_open():
                    break
                try:
                    await self._settler.act(delivery.message, error, decision)
                except PlatformAwayError as away:
                    self._platform_is_away(away)
                except Exception as bug:  # noqa: BLE001 - a hook's own error: the message must not be lost with it
                    decision = _dead_with_hook(bug)
                    _log.error("hook failed", error=type(bug).__name__, exc_info=bug)
                else:
                    self._platform_is_back()
                    await delivery.ack()
                    if isinstance(decision, DeadLetter):
                        self._count_dead()
                    return
            if self._outage.closed_for() > HOLD_LIMIT:
                break
        await self._let_go([delivery])

    async def _finish(self, batch: Sequence[Delivery], reply: Message | None) -> None:
        if reply is not None:
            with suppress(PlatformAwayError):  # whoever asked will ask again
                await batch[0].reply(reply)
        for delivery in batch:
            await delivery.ack()

    async def _let_go(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            if self._stop.is_set():
                await delivery.requeue()
                continue
            try:  # as a fresh message, since a return would spend one of its deliveries
                await self._bus.publish(self._queue, delivery.message, delay=LET_GO_DELAY)
            except PlatformAwayError:
                await delivery.requeue()
            else:
                await delivery.ack()

    def _platform_is_away(self, error: BaseException) -> None:
        was_open = self._outage.is_open()
        self._outage.close()
        self._pause("backpressure" if isinstance(error, BackpressureError) else "platform", str(error), was_open)

    def _platform_is_back(self) -> None:
        if not self._outage.is_open():
            self._outage.open()
            self._resume()

    def _count_dead(self) -> None:
        self._dead_in_a_row += 1
        if self._breaker_limit is not None and self._dead_in_a_row >= self._breaker_limit:
            was_open = self._breaker.is_open()
            self._breaker.close()
            self._pause("breaker", f"{self._dead_in_a_row} dead letters in a row", was_open)

    def _close_breaker_case(self) -> None:
        self._dead_in_a_row = 0
        if not self._breaker.is_open():
            self._breaker.open()
            self._resume()

    def _pause(self, reason: PauseReason, why: str, news: bool) -> None:
        self.pause_reason = reason
        if news:
            log = _log.error if reason == "breaker" else _log.warning
            log("consumer paused", queue=self._queue, reason=reason, why=why)
            self._observer.paused(self._queue, reason)

    def _resume(self) -> None:
        if self._outage.is_open():
            self.pause_reason = None if self._breaker.is_open() else "breaker"
            _log.info("consumer resumed", queue=self._queue, still=self.pause_reason)
            self._observer.paused(self._queue, self.pause_reason)

    def _observe(self, batch: Sequence[Delivery], outcome: Outcome, started: float) -> None:
        self._observer.handled(self._queue, batch[0].message.kind, outcome, time.perf_counter() - started)


def _dead_with_hook(bug: Exception) -> DeadLetter:
    if isinstance(bug, PoisonMessageError):
        return DeadLetter(bug.message, bug.category)
    return DeadLetter(f"unexpected {type(bug).__name__} while settling")


def _outcome(decision: Settled | Pause) -> Outcome:
    match decision:
        case RetryAfter():
            return "retry"
        case Park():
            return "park"
        case FailStep():
            return "fail"
        case DeadLetter():
            return "dead"
        case Pause():
            return "pause"
        case _:
            assert_never(decision)


async def _stop_with(stop: asyncio.Event, deliveries: Subscription) -> None:
    await stop.wait()
    await deliveries.stop()
