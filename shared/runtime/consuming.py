"""A service that is made of consumers and loops: most of ours are."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import Any

import structlog
from prometheus_client import Counter

from shared.clock import Clock
from shared.errors import BackpressureError, ParkError, PlatformAwayError
from shared.messaging.consumer import BatchConsumer, Consumer, Outcome, PauseReason
from shared.messaging.ports import SENT, TRACE, Message
from shared.messaging.topology import QueueName
from shared.runtime.resources import Resources

_EVERYDAY = (ParkError, BackpressureError)
"""To wait for a slot, or for room downstream, is no failure."""
Loop = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set."""

_log = structlog.get_logger()


class ConsumerService:
    """Implements Service. `enter` are resources of the service's own, held while it runs."""

    def __init__(
        self,
        name: str,
        resources: Resources,
        *,
        consumers: Sequence[Consumer | BatchConsumer] = (),
        loops: Sequence[Loop] = (),
        enter: Sequence[AbstractAsyncContextManager[Any]] = (),
    ) -> None:
        self._name = name
        self._resources = resources
        self._consumers = tuple(consumers)
        self._loops = tuple(loops)
        self._enter = tuple(enter)

    @property
    def name(self) -> str:
        return self._name

    async def run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            for resource in self._enter:
                await stack.enter_async_context(resource)
            async with asyncio.TaskGroup() as tasks:
                for consumer in self._consumers:
                    tasks.create_task(consumer.run(stop))
                for loop in self._loops:
                    tasks.create_task(_awaited(loop, stop))

    async def ready(self) -> bool:
        if not await self._resources.bus.ready() or not all(consumer.ready for consumer in self._consumers):
            return False
        if self._resources.database is not None and not await self._resources.database.ping():
            return False
        return self._resources.redis is None or await self._resources.redis.ready()


async def _awaited(loop: Loop, stop: asyncio.Event) -> None:
    await loop(stop)


class ServiceObserver:
    """What consumers tell, as metrics and spans."""

    def __init__(self, resources: Resources) -> None:
        self._metrics = resources.metrics
        self._tracing = resources.tracing
        self._clock = resources.clock

    def taken(self, queue: QueueName, messages: Sequence[Message]) -> None:
        now = self._clock.unix()
        for message in messages:
            sent = message.headers.get(SENT)
            if isinstance(sent, int):  # what came from outside bears no stamp
                self._metrics.message_age_seconds.labels(queue).observe(max(0.0, now - sent / 1000))

    @contextmanager
    def handling(self, queue: QueueName, messages: Sequence[Message]) -> Iterator[None]:
        trace = messages[0].headers.get(TRACE)
        told: dict[str, str | int] = {
            "messaging.system": "headrace",
            "messaging.destination.name": queue,
            "messaging.batch.message_count": len(messages),
        }
        parent = trace if isinstance(trace, str) else None
        with self._tracing.span(f"process {queue}", "consumer", told, parent=parent, everyday=_EVERYDAY):
            yield

    def handled(self, queue: QueueName, kind: str, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002 - the port's shape; a kind has its own queue
        counter: Counter = self._metrics.messages_processed
        counter.labels(queue, outcome).inc()
        self._metrics.processing_seconds.labels(queue).observe(seconds)

    def paused(self, queue: QueueName, reason: PauseReason | None) -> None:
        """Readiness and the log tell it."""


def every(seconds: float, work: Callable[[], Awaitable[None]], clock: Clock) -> Loop:
    """A loop that does `work` again and again; an outage of the platform costs it one turn."""

    async def loop(stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await work()
                except PlatformAwayError as error:
                    _log.info("a turn was skipped", reason=error.message)
                nap = asyncio.create_task(clock.sleep(seconds))
                await asyncio.wait({nap, stopping}, return_when=asyncio.FIRST_COMPLETED)
                nap.cancel()
        finally:
            stopping.cancel()

    return loop
