"""The bus as the services get it: what goes out is stamped and counted, whichever adapter carries it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace

from shared.clock import Clock
from shared.errors import BackpressureError, PlatformAwayError
from shared.messaging.ports import ENDED, SENT, TRACE, Bus, Message, QueueState, Subscription
from shared.messaging.topology import QueueName
from shared.observability.metrics import Metrics
from shared.observability.tracing import Tracing


class ObservedBus:
    """Implements Bus over another one."""

    def __init__(self, inner: Bus, metrics: Metrics, clock: Clock, tracing: Tracing) -> None:
        self._inner = inner
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock

    async def publish(self, queue: QueueName, message: Message, *, delay: float = 0) -> None:
        with self._counted(1):
            await self._inner.publish(queue, self._stamped(message, delay), delay=delay)

    async def publish_many(self, queue: QueueName, messages: Sequence[Message]) -> None:
        with self._counted(len(messages)):
            await self._inner.publish_many(queue, [self._stamped(message) for message in messages])

    def subscribe(self, queue: QueueName, *, prefetch: int) -> AbstractAsyncContextManager[Subscription]:
        return self._inner.subscribe(queue, prefetch=prefetch)

    async def request(self, queue: QueueName, message: Message, *, timeout: float) -> Message:  # noqa: ASYNC109 - the port's
        return await self._inner.request(queue, self._stamped(message), timeout=timeout)

    async def announce(self, message: Message) -> None:
        if ENDED in message.headers:
            self._metrics.runs_finished.labels(message.headers[ENDED]).inc()
        await self._inner.announce(message)

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        return self._inner.listen()

    async def depth(self, queue: QueueName) -> int:
        return await self._inner.depth(queue)

    async def inspect(self, queue: QueueName) -> QueueState:
        return await self._inner.inspect(queue)

    async def ready(self) -> bool:
        return await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()

    def _stamped(self, message: Message, delay: float = 0) -> Message:
        """Its age counts from the moment when it may be handled, so that a parked message is not an old one."""
        sent = round((self._clock.unix() + delay) * 1000)
        headers = {**message.headers, SENT: sent}
        if (trace := self._tracing.traceparent()) is not None:
            headers[TRACE] = trace
        return replace(message, headers=headers)

    @contextmanager
    def _counted(self, messages: int) -> Iterator[None]:
        """Where one of several is refused, nobody knows of the others."""
        confirms = self._metrics.publish_confirms
        try:
            yield
        except BackpressureError:
            confirms.labels("refused").inc()
            raise
        except PlatformAwayError:
            confirms.labels("unknown").inc()
            raise
        confirms.labels("ack").inc(messages)
