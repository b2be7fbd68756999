"""The bus inside one process: behaves as the broker does, and forgets everything when the process ends."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from shared.clock import Clock, SystemClock
from shared.errors import BackpressureError, PlatformAwayError
from shared.messaging.inbox import Inbox, LossyInbox
from shared.messaging.ports import Message, QueueState, Subscription, check_publishable
from shared.messaging.topology import TOPOLOGY, QueueName, QueueSpec

MAX_UNHEARD = 1_000
"""Announcements kept for a listener that doesn't keep up."""


@dataclass(slots=True)
class MemoryFaults:
    """Artificial trouble for tests; change it at any time."""

    away: bool = False
    """Every publish and request raises PlatformAwayError."""
    duplicate_every: int = 0
    """Every n-th delivery comes twice; 0 is never."""
    reorder: random.Random | None = None
    """Deliver in this generator's order instead of the queue's."""


@dataclass(slots=True)
class _Stored:
    message: Message
    returns: int = 0
    reply: asyncio.Future[Message] | None = None
    expires: float | None = None
    """Loop time after which nobody waits for this any more."""


@dataclass(slots=True)
class _Queue:
    spec: QueueSpec
    ready: deque[_Stored] = field(default_factory=deque)
    subscriptions: deque["_MemorySubscription"] = field(default_factory=deque)


class _MemoryDelivery:
    """One message in the hands of one worker."""

    def __init__(self, subscription: "_MemorySubscription", stored: _Stored) -> None:
        self._subscription = subscription
        self.stored = stored
        self.message = stored.message
        self.queue: QueueName = subscription.queue
        self.redelivered = stored.returns > 0

    async def ack(self) -> None:
        self._subscription.settle(self)

    async def requeue(self) -> None:
        if self._subscription.settle(self):
            self._subscription.give_back([self.stored])

    async def reply(self, message: Message) -> None:
        reply = self.stored.reply
        if reply is not None and not reply.done():
            reply.set_result(_copied(message))


class _MemorySubscription:
    """Deliveries of one queue to one consumer."""

    def __init__(self, bus: "MemoryBus", queue: QueueName, prefetch: int) -> None:
        self.queue: QueueName = queue
        self._bus = bus
        self._prefetch = prefetch
        self._inbox: Inbox[_MemoryDelivery] = Inbox()
        self._unsettled: set[_MemoryDelivery] = set()

    def __aiter__(self) -> AsyncIterator[_MemoryDelivery]:
        return self._inbox

    def take_nowait(self) -> _MemoryDelivery | None:
        return self._inbox.take_nowait()

    async def stop(self) -> None:
        self.end(self._inbox.take_all())

    def end(self, returning: Sequence[_MemoryDelivery]) -> None:
        """Take no more and give `returning` back."""
        self._bus.detach(self)
        self._inbox.end()
        self.give_back([delivery.stored for delivery in returning if self.settle(delivery)])

    def close(self) -> None:
        """End at once: whatever is not settled goes back."""
        self.end(list(self._unsettled))

    def has_room(self) -> bool:
        return len(self._unsettled) < self._prefetch

    def hand_over(self, stored: _Stored) -> None:
        delivery = _MemoryDelivery(self, stored)
        self._unsettled.add(delivery)
        self._inbox.put(delivery)

    def settle(self, delivery: _MemoryDelivery) -> bool:
        """True the first time; later calls do nothing."""
        if delivery not in self._unsettled:
            return False
        self._unsettled.remove(delivery)
        self._bus.pump(self.queue)
        return True

    def give_back(self, returned: list[_Stored]) -> None:
        self._bus.take_back(self.queue, returned)


class MemoryBus:
    """See `shared.messaging.ports.Bus`. `clock` measures delays; `faults` is for tests."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        topology: Sequence[QueueSpec] = TOPOLOGY,
        faults: MemoryFaults | None = None,
    ) -> None:
        self.faults = faults or MemoryFaults()
        self._clock = clock or SystemClock()
        self._queues: dict[QueueName, _Queue] = {spec.name: _Queue(spec) for spec in topology}
        self._listeners: set[LossyInbox[Message]] = set()
        self._delayed: set[asyncio.Task[None]] = set()
        self._delivered = 0
        self._closed = False

    async def publish(self, queue: QueueName, message: Message, *, delay: float = 0) -> None:
        check_publishable(message, delay)
        stored = _Stored(_copied(message))
        if delay <= 0:
            self._store(queue, stored)
        else:
            self._check_up()
            task = asyncio.create_task(self._store_later(queue, stored, delay))
            self._delayed.add(task)
            task.add_done_callback(self._delayed.discard)
        await asyncio.sleep(0)  # consumers get their turn, and a delay has begun, as when a broker confirms

    async def publish_many(self, queue: QueueName, messages: Sequence[Message]) -> None:
        for message in messages:
            await self.publish(queue, message)

    @asynccontextmanager
    async def subscribe(self, queue: QueueName, *, prefetch: int) -> AsyncIterator[Subscription]:
        subscription = _MemorySubscription(self, queue, prefetch)
        self._queues[queue].subscriptions.append(subscription)
        self.pump(queue)
        try:
            yield subscription
        finally:
            subscription.close()

    async def request(self, queue: QueueName, message: Message, *, timeout: float) -> Message:  # noqa: ASYNC109 - the port's word for the message's expiry
        check_publishable(message)
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Message] = loop.create_future()
        self._store(queue, _Stored(_copied(message), reply=reply, expires=loop.time() + timeout))
        try:
            async with asyncio.timeout(timeout):
                return await reply
        except TimeoutError:
            raise PlatformAwayError(f"no answer on {queue} within {timeout:g} s") from None

    async def announce(self, message: Message) -> None:
        if self._closed or self.faults.away:
            return
        for listener in self._listeners:
            listener.put(_copied(message))

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Message]]:
        listener: LossyInbox[Message] = LossyInbox(MAX_UNHEARD)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def depth(self, queue: QueueName) -> int:
        return len(self._live(queue))

    async def inspect(self, queue: QueueName) -> QueueState:
        self._check_up()
        return QueueState(len(self._live(queue)), len(self._queues[queue].subscriptions))

    async def ready(self) -> bool:
        return not (self._closed or self.faults.away)

    async def close(self) -> None:
        self._closed = True
        for task in self._delayed:
            task.cancel()
        await asyncio.gather(*self._delayed, return_exceptions=True)
        for queue in self._queues.values():
            for subscription in list(queue.subscriptions):
                subscription.close()

    def detach(self, subscription: _MemorySubscription) -> None:
        """The subscription wants no more deliveries."""
        subscriptions = self._queues[subscription.queue].subscriptions
        if subscription in subscriptions:
            subscriptions.remove(subscription)

    def take_back(self, queue: QueueName, returned: list[_Stored]) -> None:
        """Unsettled messages return to the head of their queue, unless they did so too often."""
        for stored in reversed(returned):
            stored.returns += 1
            if stored.returns > self._queues[queue].spec.delivery_limit:
                self._give_up(queue, stored)
            else:
                self._queues[queue].ready.appendleft(stored)
        self.pump(queue)

    def pump(self, queue: QueueName) -> None:
        """Hand over what is ready to whoever has room, in turns."""
        waiting = self._queues[queue]
        while self._live(queue):
            subscription = next((each for each in waiting.subscriptions if each.has_room()), None)
            if subscription is None:
                return
            stored = self._pick(waiting.ready)
            waiting.subscriptions.rotate(-1)
            self._delivered += 1
            if self.faults.duplicate_every and not self._delivered % self.faults.duplicate_every:
                waiting.ready.append(replace(stored))
            subscription.hand_over(stored)

    def _live(self, queue: QueueName) -> deque[_Stored]:
        """What is ready, without the requests that nobody waits for any more."""
        ready = self._queues[queue].ready
        if any(stored.expires is not None for stored in ready):
            now = asyncio.get_running_loop().time()
            living = [stored for stored in ready if stored.expires is None or stored.expires > now]
            ready.clear()
            ready.extend(living)
        return ready

    def _pick(self, ready: deque[_Stored]) -> _Stored:
        if self.faults.reorder is not None:
            ready.rotate(-self.faults.reorder.randrange(len(ready)))
        return ready.popleft()

    def _store(self, queue: QueueName, stored: _Stored) -> None:
        self._check_up()
        target = self._queues[queue]
        if target.spec.max_length is not None and len(self._live(queue)) >= target.spec.max_length:
            raise BackpressureError(f"queue {queue} is full")
        target.ready.append(stored)
        self.pump(queue)

    async def _store_later(self, queue: QueueName, stored: _Stored, delay: float) -> None:
        await self._clock.sleep(delay)
        self._queues[queue].ready.append(stored)  # it was accepted before: a full queue cannot refuse it any more
        self.pump(queue)

    def _give_up(self, queue: QueueName, stored: _Stored) -> None:
        if not self._queues[queue].spec.dead_letters:
            return
        reason = {"queue": queue, "reason": "delivery_limit", "category": "INTERNAL_ERROR"}
        dead = replace(stored.message, headers={**stored.message.headers, **reason})
        self._queues["dead"].ready.append(_Stored(dead))
        self.pump("dead")

    def _check_up(self) -> None:
        if self._closed or self.faults.away:
            raise PlatformAwayError("the bus is away")


def _copied(message: Message) -> Message:
    """What arrives shares nothing with what was sent."""
    return Message(message.kind, bytes(message.body), dict(message.headers))
