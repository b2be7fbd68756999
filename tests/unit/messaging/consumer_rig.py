"""A consumer on the in-process bus, its hooks and observer, and a clock that only moves when told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from shared.clock import ManualClock
from shared.errors import Category
from shared.messaging.consumer import BatchConsumer, Consumer, Outcome, PauseReason
from shared.messaging.memory import MemoryBus, MemoryFaults
from shared.messaging.ports import Message
from shared.messaging.topology import QueueName

# ruff: noqa: ARG002 - fakes have the shape of what they stand for


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
