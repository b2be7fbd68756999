"""Listens in on a broker: a copy of whatever goes to a queue of ours, delayed or not, with its headers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractQueue

from shared.messaging.amqp.declare import Names
from shared.messaging.topology import DELAY_STEPS, QUEUES


class Tap:
    """`heard()` takes what came since."""

    def __init__(self, queue: AbstractQueue) -> None:
        self._queue = queue
        self._texts: list[str] = []

    async def heard(self) -> list[str]:
        """All messages so far, as text."""
        while (message := await self._queue.get(no_ack=True, fail=False)) is not None:
            body = message.body.decode("utf-8", "replace")
            self._texts.append(f"{message.type} {dict(message.headers)} {message.correlation_id} {body}")
        return self._texts


@asynccontextmanager
async def tapping(url: str, prefix: str) -> AsyncIterator[Tap]:
    """The exchanges must be there. What is left of the topology is removed in the end."""
    names = Names(prefix)
    delays = [names.delay_exchange(step) for step in DELAY_STEPS]
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue("", exclusive=True)
        for routing_key in QUEUES:
            await queue.bind(names.exchange, routing_key)
        await queue.bind(names.public, "#")
        for exchange in (names.events, *delays):
            await queue.bind(exchange)
        yield Tap(queue)
        for name in (*map(names.queue, QUEUES), *map(names.delay_queue, DELAY_STEPS)):
            await channel.queue_delete(name)
        for exchange in (names.exchange, names.events, names.public, *delays):
            await channel.exchange_delete(exchange)
