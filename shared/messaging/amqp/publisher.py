"""Publishing with a known outcome: safely with the broker, refused by a full queue, or unknown."""

import asyncio
from collections.abc import Sequence

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError, PublishError

from shared.errors import BackpressureError, PlatformAwayError
from shared.messaging.amqp.declare import Names, declare_all
from shared.messaging.amqp.link import LINK_ERRORS, Link, library_errors

IN_FLIGHT = 128
"""Publishes that wait for their confirm at a time: confirms come in batches, so one by one would be slow."""
PUBLISH_TIMEOUT = 10.0
"""Seconds for a publish with its confirm. A broker that is short of memory stops reading, without a word."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Publisher:
    """One connection, one channel with confirms. The topology is declared each time the connection comes up."""

    def __init__(self, url: str, *, name: str, names: Names, delay_steps: Sequence[int]) -> None:
        self.link = Link(url, name=name, on_up=self._prepare)
        self._names = names
        self._delay_steps = delay_steps
        self._window = asyncio.Semaphore(IN_FLIGHT)
        self._channel: AbstractChannel | None = None

    async def send(self, exchange: str, routing_key: str, message: aio_pika.Message, *, mandatory: bool = True) -> None:
        """Return when the broker has it on disk. BackpressureError: refused. PlatformAwayError: nobody knows."""
        try:
            with library_errors():
                await self._send(exchange, routing_key, message, mandatory)
        except PublishError as error:
            self._unroutable(exchange, routing_key)
            raise PlatformAwayError(f"nothing is bound for {routing_key!r}") from error
        except DeliveryError as error:
            raise BackpressureError(f"queue {routing_key} is full") from error
        except LINK_ERRORS as error:
            raise PlatformAwayError(f"the broker did not confirm: {type(error).__name__}") from error

    async def _send(self, exchange: str, routing_key: str, message: aio_pika.Message, mandatory: bool) -> None:
        async with asyncio.timeout(PUBLISH_TIMEOUT), self._window:
            await self.link.connection()
            channel = self._channel
            if channel is None:
                raise ConnectionError("the channel is gone")
            target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
            await target.publish(message, routing_key, mandatory=mandatory)

    async def _prepare(self, connection: AbstractConnection) -> None:
        async with connection.channel() as setup:
            await declare_all(setup, self._names, self._delay_steps)
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        channel.close_callbacks.add(lambda *_: self._on_channel_closed(channel))
        self._channel = channel

    def _on_channel_closed(self, channel: AbstractChannel) -> None:
        if self._channel is channel:
            self._channel = None
            self.link.reset()

    def _unroutable(self, exchange: str, routing_key: str) -> None:
        """A reply to somebody who left is everyday life; a work queue that vanished is declared by a new connection."""
        if exchange:
            _log.error("queue missing", exchange=exchange, routing_key=routing_key)
            self.link.reset()
