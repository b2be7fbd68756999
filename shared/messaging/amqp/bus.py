"""AmqpBus: publishing on one connection, consuming on another, so that a blocked publisher can't hold up an ack."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import structlog
from aio_pika.abc import AbstractIncomingMessage

from shared.clock import Clock, SystemClock
from shared.errors import PlatformAwayError
from shared.messaging.amqp.declare import Names, declare_events
from shared.messaging.amqp.link import LINK_ERRORS, Link, end_task, library_errors
from shared.messaging.amqp.publisher import Publisher
from shared.messaging.amqp.replies import Replies
from shared.messaging.amqp.subscription import REATTACH_PAUSE, AmqpSubscription
from shared.messaging.amqp.wire import from_amqp, to_amqp
from shared.messaging.inbox import LossyInbox
from shared.messaging.ports import Message, QueueState, Subscription, check_publishable
from shared.messaging.topology import DELAY_STEPS, MAX_DELAY, TOPOLOGY, QueueName, delay_step

START_TIMEOUT = 10.0
"""Seconds that `start` waits for a broker that is away; after that the bus keeps trying in the background."""
MAX_UNHEARD = 1_000
"""Announcements kept for a listener that doesn't keep up."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AmqpBus:
    """See `shared.messaging.ports.Bus`. Make it inside the running loop, then `await start()`.

    `prefix` goes before every name on the broker; `delay_steps` shortens the ladder for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        name: str = "headrace",
        prefix: str = "",
        delay_steps: tuple[int, ...] = DELAY_STEPS,
    ) -> None:
        self._clock = clock or SystemClock()
        self._names = Names(prefix)
        self._delay_steps = delay_steps
        self._publisher = Publisher(url, name=f"{name} publish", names=self._names, delay_steps=delay_steps)
        self._consumers = Link(url, name=f"{name} consume")
        self._replies = Replies(self._consumers, self._names)
        self._subscriptions: set[AmqpSubscription] = set()
        self._listeners: set[asyncio.Task[None]] = set()
        self._looks: set[asyncio.Task[QueueState]] = set()

    async def start(self, *, timeout: float = START_TIMEOUT) -> None:  # noqa: ASYNC109 - a broker that is away is no error here
        """Connect and declare. Raises StartupError when the broker refuses us; one that is away is waited for later."""
        self._publisher.link.start()
        self._consumers.start()
        first = asyncio.gather(self._publisher.link.first, self._consumers.first)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(first)
        except TimeoutError:
            _log.warning("broker away at start", hint="publishing and consuming begin when it is back")
        finally:
            first.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def publish(self, queue: QueueName, message: Message, *, delay: float = 0) -> None:
        check_publishable(message, delay)
        if delay <= 0:
            await self._publisher.send(self._names.exchange, queue, to_amqp(message))
            return
        await self._publish_later(queue, message, delay)

    async def publish_many(self, queue: QueueName, messages: Sequence[Message]) -> None:
        for message in messages:
            check_publishable(message)
        tasks = [
            asyncio.create_task(self._publisher.send(self._names.exchange, queue, to_amqp(message)))
            for message in messages
        ]
        try:
            await asyncio.gather(*tasks)
        finally:  # after the first refusal the rest need not go out
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def subscribe(self, queue: QueueName, *, prefetch: int) -> AsyncIterator[Subscription]:
        spec = next(spec for spec in TOPOLOGY if spec.name == queue)
        subscription = AmqpSubscription(
            self._consumers,
            spec,
            self._names,
            prefetch=prefetch,
            clock=self._clock,
            sender=self._publish_later,
            replier=self._reply,
        )
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            await subscription.close()

    async def request(self, queue: QueueName, message: Message, *, timeout: float) -> Message:  # noqa: ASYNC109 - the port's word for the message's expiry
        check_publishable(message)
        try:
            async with asyncio.timeout(timeout), self._replies.expect() as (address, correlation, reply):
                request = to_amqp(message, expires_in=timeout, reply_to=address, correlation_id=correlation)
                await self._publisher.send(self._names.exchange, queue, request)
                return await reply
        except TimeoutError:
            raise PlatformAwayError(f"no answer on {queue} within {timeout:g} s") from None

    async def announce(self, message: Message) -> None:
        if self._publisher.link.is_up:
            with suppress(PlatformAwayError):
                await self._publisher.send(self._names.events, "", to_amqp(message, persistent=False), mandatory=False)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Message]]:
        heard: LossyInbox[Message] = LossyInbox(MAX_UNHEARD)
        listening = asyncio.Event()
        task = asyncio.create_task(self._keep_listening(heard, listening))
        self._listeners.add(task)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT):
                    await listening.wait()
            yield heard
        finally:
            self._listeners.discard(task)
            await end_task(task)

    async def depth(self, queue: QueueName) -> int:
        return (await self.inspect(queue)).ready

    async def inspect(self, queue: QueueName) -> QueueState:
        # Whoever asks may be cancelled at any moment. Cancelled inside a channel's handshake, the library can lose the
        # whole connection, or go on as though nothing were: so the look ends by itself, or by its time.
        look = asyncio.create_task(self._inspect(queue))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        look.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(look)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if look.cancelled() and not (task and task.cancelling()):  # the bus was closed meanwhile
                raise PlatformAwayError(f"the state of {queue} is unknown: the bus is closed") from None
            raise

    async def _inspect(self, queue: QueueName) -> QueueState:
        try:
            with library_errors():
                async with asyncio.timeout(START_TIMEOUT):
                    connection = await self._consumers.connection()
                    async with connection.channel() as channel:
                        declared = await channel.declare_queue(self._names.queue(queue), passive=True)
                        result = declared.declaration_result
                        return QueueState(result.message_count or 0, result.consumer_count or 0)
        except LINK_ERRORS as error:
            raise PlatformAwayError(f"the state of {queue} is unknown: {type(error).__name__}") from error

    async def ready(self) -> bool:
        return (
            self._publisher.link.is_up
            and self._consumers.is_up
            and all(subscription.is_attached for subscription in self._subscriptions)
        )

    async def close(self) -> None:
        for subscription in list(self._subscriptions):
            await subscription.close()
        for task in (*self._listeners, *self._looks):
            await end_task(task)
        await self._replies.close()
        await self._consumers.close()
        await self._publisher.link.close()

    async def _publish_later(self, queue: QueueName, message: Message, delay: float) -> None:
        """The longest step that fits, then the rest of the way; less than the shortest waits with the consumer."""
        not_before = self._clock.unix() + min(delay, MAX_DELAY)
        step = delay_step(delay, self._delay_steps)
        exchange = self._names.exchange if step is None else self._names.delay_exchange(step)
        await self._publisher.send(exchange, queue, to_amqp(message, not_before=not_before))

    async def _reply(self, address: str, correlation: str, message: Message) -> None:
        with suppress(PlatformAwayError):  # whoever asked is gone, or will ask again
            await self._publisher.send("", address, to_amqp(message, correlation_id=correlation, persistent=False))

    async def _keep_listening(self, heard: LossyInbox[Message], listening: asyncio.Event) -> None:
        async def on_message(incoming: AbstractIncomingMessage) -> None:
            heard.put(from_amqp(incoming, self._names))

        while True:
            connection = await self._consumers.connection()
            with suppress(*LINK_ERRORS), library_errors():
                async with connection.channel() as channel:
                    exchange = await declare_events(channel, self._names)
                    inbox = await channel.declare_queue(
                        self._names.inbox("listen", uuid4().hex), exclusive=True, auto_delete=True
                    )
                    await inbox.bind(exchange)
                    await inbox.consume(on_message, no_ack=True)
                    listening.set()
                    await channel.closed()
            await asyncio.sleep(REATTACH_PAUSE[1])
