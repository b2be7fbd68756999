"""Answers to our requests: one queue per process that lives as long as its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from aio_pika.abc import AbstractIncomingMessage

from shared.messaging.amqp.declare import Names
from shared.messaging.amqp.link import LINK_ERRORS, Link, end_task, library_errors, on_channel_lost
from shared.messaging.amqp.wire import from_amqp
from shared.messaging.ports import Message

REOPEN_PAUSE = 0.5
"""Seconds between two tries to open the queue on a connection that is up."""


class Replies:
    """Opens its queue with the first request. Requests under way when the connection is lost time out."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._address: str | None = None
        self._open = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def expect(self) -> AsyncIterator[tuple[str, str, asyncio.Future[Message]]]:
        """The address and the correlation id to send along, and the answer to come."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        while self._address is None:
            await self._open.wait()
        correlation = uuid4().hex
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = reply
        try:
            yield self._address, correlation, reply
        finally:
            del self._waiting[correlation]

    async def close(self) -> None:
        """Nobody is answered any more."""
        if self._task is not None:
            await end_task(self._task)

    async def _keep(self) -> None:
        while True:
            connection = await self._link.connection()
            with suppress(*LINK_ERRORS), library_errors():
                async with connection.channel() as channel:
                    lost = asyncio.Event()
                    on_channel_lost(channel, lost)
                    # a name of its own each time: the broker may still keep the last one
                    address = self._names.inbox("reply", uuid4().hex)
                    queue = await channel.declare_queue(address, exclusive=True, auto_delete=True)
                    await queue.consume(self._on_reply, no_ack=True)
                    self._address = address
                    self._open.set()
                    await lost.wait()
            self._address = None
            self._open.clear()
            await asyncio.sleep(REOPEN_PAUSE)

    async def _on_reply(self, incoming: AbstractIncomingMessage) -> None:
        reply = self._waiting.get(incoming.correlation_id or "")
        if reply is not None and not reply.done():
            reply.set_result(from_amqp(incoming, self._names))
