"""One connection to the broker, made again whenever it is lost.

A loop of our own on plain connections: what has to be restored (channels, declarations, consumers) is restored by the
code that needs it, in view, instead of by a registry of weak references.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from shared.errors import StartupError

CONNECT_TIMEOUT = 10.0
"""Seconds for TCP, TLS and the handshake."""
RECONNECT_PAUSE = (1.0, 2.0)
"""Seconds between two tries, drawn at random so that a restarted broker isn't met by everybody at once."""
HEARTBEAT = 20
"""Seconds; a peer that vanished without a word is noticed within three of them."""
OLDEST_BROKER = (3, 10)
"""The first with message expiry and at-least-once dead letters on quorum queues."""

LINK_ERRORS: tuple[type[Exception], ...] = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""What a broken connection or channel raises. (RuntimeError is among them: that's how aiormq says `closed`.)"""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Link:
    """Keeps one connection up. `on_up` prepares each new one before anybody else gets it."""

    def __init__(
        self, url: str, *, name: str, on_up: Callable[[AbstractConnection], Awaitable[None]] | None = None
    ) -> None:
        self._url = url
        self._name = name
        self._on_up = on_up
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the first connection is up; StartupError when the broker refuses us for good."""

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    def start(self) -> None:
        """Begin to connect, and never stop trying until `close`."""
        self._task = asyncio.create_task(self._keep())

    async def connection(self) -> AbstractConnection:
        """The connection, once there is one."""
        while self._connection is None or not self._up.is_set():
            await self._up.wait()
        return self._connection

    def reset(self) -> None:
        """Something on this connection can only be healed by a new one."""
        self._lost.set()

    async def close(self) -> None:
        """Disconnect for good: the broker takes back what is unsettled."""
        if self._task is not None:
            await end_task(self._task)
        self.first.cancel()

    async def _keep(self) -> None:
        while True:
            try:
                with library_errors():
                    await self._live_once()
            except (AuthenticationError, ProbableAuthenticationError):
                self._refuse("the broker refuses the user or the password of HEADRACE_AMQP_URL")
            except StartupError as error:
                self._refuse(error.message)
            except InvalidFrameError:  # a wrong vhost looks so, but also one that is still starting
                self._report("the broker closes at once: is the vhost of HEADRACE_AMQP_URL there, may its user use it?")
            except LINK_ERRORS as error:
                self._report(f"broker away: {type(error).__name__}")
            except Exception:  # noqa: BLE001 - a link that ends in silence would be worse than one that goes on with a bug
                _log.exception("connecting failed", link=self._name)
            await asyncio.sleep(random.uniform(*RECONNECT_PAUSE))  # noqa: S311 - spreads load, guards nothing

    async def _live_once(self) -> None:
        self._lost = lost = asyncio.Event()
        connection = await aio_pika.connect(
            self._url,
            timeout=CONNECT_TIMEOUT,
            client_properties={"connection_name": self._name},
            heartbeat=str(HEARTBEAT),
        )
        try:
            connection.close_callbacks.add(lambda *_: lost.set())
            version = _check_version(connection)
            if self._on_up is not None:
                async with asyncio.timeout(CONNECT_TIMEOUT * 3):
                    await self._on_up(connection)
            self._connection = connection
            self._up.set()
            if not self.first.done():
                self.first.set_result(None)
            self._trouble = None
            _log.info("broker connected", link=self._name, version=version)
            await lost.wait()
            _log.warning("broker connection lost", link=self._name)
        finally:
            self._up.clear()
            self._connection = None
            with suppress(*LINK_ERRORS):
                await connection.close()

    def _refuse(self, why: str) -> None:
        self._report(why)
        if not self.first.done():
            self.first.set_exception(StartupError(why, hint="check HEADRACE_AMQP_URL"))

    def _report(self, trouble: str) -> None:
        """Once: an outage of an hour is a thousand tries."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("cannot connect", link=self._name, why=trouble)


@contextmanager
def library_errors() -> Iterator[None]:
    """Around calls of the library: it cancels what waits on a channel that closes, as if the caller had been meant."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionError("the channel closed") from error


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel it until it is done: inside a handshake the library turns a cancellation into an error of its own."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    if not task.cancelled():
        task.exception()  # seen: it was on its way out


def on_channel_lost(channel: AbstractChannel, lost: asyncio.Event) -> None:
    """Set `lost` when the channel closes, with or without its connection."""
    channel.close_callbacks.add(lambda *_: lost.set())


def _check_version(connection: AbstractConnection) -> str:
    transport = connection.transport
    assert transport is not None, "connected"
    reported = transport.connection.server_properties.get("version", "")
    version = reported.decode() if isinstance(reported, bytes) else str(reported)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_BROKER:
        raise StartupError(f"RabbitMQ {version} is too old: HEADRACE_AMQP_URL has to lead to 3.10 or newer")
    return version
