"""Deliveries of one queue: attached to whatever connection is up, handed to workers that outlive it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.clock import Clock
from shared.errors import PlatformAwayError
from shared.messaging.amqp.declare import Names, declare_queue
from shared.messaging.amqp.link import CONNECT_TIMEOUT, LINK_ERRORS, Link, end_task, library_errors, on_channel_lost
from shared.messaging.amqp.wire import from_amqp, is_public, not_before
from shared.messaging.inbox import Inbox
from shared.messaging.ports import Message
from shared.messaging.topology import QueueName, QueueSpec

REATTACH_PAUSE = (0.2, 0.6)
"""Seconds between two tries to consume on a connection that is up."""
EARLY_ENOUGH = 0.02
"""Seconds before its time that a delayed message may be handed over."""
HOP_FROM = 1.0
"""Seconds; what has longer to wait goes back to a delay queue, what has less waits here."""

Sender = Callable[[QueueName, Message, float], Awaitable[None]]
Replier = Callable[[str, str, Message], Awaitable[None]]

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AmqpDelivery:
    """One message in the hands of one worker. Settling on a lost channel does nothing: the broker has it back."""

    def __init__(self, incoming: AbstractIncomingMessage, queue: QueueName, names: Names, replier: Replier) -> None:
        self._incoming = incoming
        self._names = names
        self._replier = replier
        self.queue: QueueName = queue
        self.message = from_amqp(incoming, names)

    @property
    def redelivered(self) -> bool:
        return bool(self._incoming.redelivered)

    async def ack(self) -> None:
        await self._settle(self._incoming.ack())

    async def requeue(self) -> None:
        await self._settle(self._incoming.reject(requeue=True))  # counts on every version; a nack doesn't from 4.3

    async def give_back(self) -> None:
        """Nobody has started it."""
        await self._settle(self._incoming.nack(requeue=True))

    async def reply(self, message: Message) -> None:
        asker, correlation = self._incoming.reply_to, self._incoming.correlation_id
        if asker and correlation and not is_public(self._incoming, self._names):
            await self._replier(asker, correlation, message)

    async def _settle(self, settling: Awaitable[None]) -> None:
        try:
            with library_errors():
                await settling
        except LINK_ERRORS as error:
            _log.info("message comes again", queue=self.queue, error=type(error).__name__)


class AmqpSubscription:
    """Keeps consuming one queue until it is closed."""

    def __init__(
        self,
        link: Link,
        spec: QueueSpec,
        names: Names,
        *,
        prefetch: int,
        clock: Clock,
        sender: Sender,
        replier: Replier,
    ) -> None:
        self._link = link
        self._spec = spec
        self._names = names
        self._prefetch = prefetch
        self._clock = clock
        self._sender = sender
        self._replier = replier
        self._inbox: Inbox[AmqpDelivery] = Inbox()
        self._held: set[asyncio.Task[None]] = set()
        self._consuming: tuple[AbstractQueue, str] | None = None
        self._stopping = False
        self._task = asyncio.create_task(self._keep())

    @property
    def is_attached(self) -> bool:
        return self._consuming is not None

    def __aiter__(self) -> AsyncIterator[AmqpDelivery]:
        return self._inbox

    def take_nowait(self) -> AmqpDelivery | None:
        return self._inbox.take_nowait()

    async def stop(self) -> None:
        self._stopping = True
        if self._consuming is not None:
            queue, tag = self._consuming
            with suppress(*LINK_ERRORS), library_errors():
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await queue.cancel(tag)
        unstarted = self._inbox.take_all()
        self._inbox.end()
        for delivery in unstarted:
            await delivery.give_back()

    async def close(self) -> None:
        """End at once: closing the channel gives back whatever is not settled."""
        self._stopping = True
        self._inbox.take_all()
        self._inbox.end()
        for task in (*self._held, self._task):
            await end_task(task)

    async def _keep(self) -> None:
        while not self._stopping:
            connection = await self._link.connection()
            try:
                with library_errors():
                    await self._consume_on(connection.channel())
            except LINK_ERRORS as error:
                _log.warning("consumer lost", queue=self._spec.name, error=type(error).__name__)
            except Exception:  # noqa: BLE001 - a consumer that ends in silence would be worse than one that goes on with a bug
                _log.exception("consuming failed", queue=self._spec.name)
            await asyncio.sleep(random.uniform(*REATTACH_PAUSE))  # noqa: S311 - spreads load, guards nothing

    async def _consume_on(self, channel: AbstractChannel) -> None:
        """Return when the channel is gone, or the broker has cancelled the consumer."""
        lost = asyncio.Event()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await channel.initialize()
                on_channel_lost(channel, lost)
                underlay = await channel.get_underlay_channel()
                underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
                await channel.set_qos(prefetch_count=self._prefetch)
                await declare_queue(channel, self._spec, self._names)
                queue = await channel.get_queue(self._names.queue(self._spec.name), ensure=False)
                tag = await queue.consume(self._on_message)
            self._consuming = (queue, tag)
            await lost.wait()
        finally:
            self._consuming = None
            self._inbox.take_all()  # the broker has them back: whoever took one would only work twice
            with suppress(*LINK_ERRORS), library_errors():
                await channel.close()

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        """Hand over only: the library cancels this task when the channel is lost, and work must not end with it."""
        delivery = AmqpDelivery(incoming, self._spec.name, self._names, self._replier)
        if self._stopping:
            await delivery.give_back()
            return
        early = not_before(incoming, self._names) - self._clock.unix()
        if early <= EARLY_ENOUGH:
            self._inbox.put(delivery)
            return
        task = asyncio.create_task(self._hop(delivery, early) if early >= HOP_FROM else self._hold(delivery, early))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _hold(self, delivery: AmqpDelivery, seconds: float) -> None:
        """Wait the last moment here, out of the workers' way."""
        await self._clock.sleep(seconds)
        if self._stopping:
            await delivery.give_back()
        else:
            self._inbox.put(delivery)

    async def _hop(self, delivery: AmqpDelivery, seconds: float) -> None:
        """On to the next delay queue, as a fresh message: the broker drops one that only ever expires in a circle."""
        try:
            await self._sender(self._spec.name, delivery.message, seconds)
        except PlatformAwayError:
            await self._clock.sleep(HOP_FROM)
            await delivery.requeue()
        else:
            await delivery.ack()
