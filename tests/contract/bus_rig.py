"""What the bus suites share: a broker's namespace per test, a proxy that cuts connections, patient little helpers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import aio_pika
from yarl import URL

from shared.errors import BackpressureError, PlatformAwayError
from shared.messaging.amqp import AmqpBus, Names
from shared.messaging.ports import Bus, Delivery, Message, Subscription
from shared.messaging.topology import QUEUES, QueueName

STEPS = (1, 2)


@asynccontextmanager
async def amqp_bus(url: str, *, prefix: str = "", via: str | None = None) -> AsyncIterator[AmqpBus]:
    """A bus with names of its own; its queues and exchanges are deleted afterwards, past any proxy (`via`)."""
    prefix = prefix or f"test-{uuid4().hex[:12]}."
    bus = AmqpBus(via or url, prefix=prefix, delay_steps=STEPS)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.close()
        await delete_all(url, Names(prefix))


async def delete_all(url: str, names: Names) -> None:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for queue in [*map(names.queue, QUEUES), *map(names.delay_queue, STEPS)]:
            await channel.queue_delete(queue)
        for exchange in [names.exchange, names.events, names.public, *map(names.delay_exchange, STEPS)]:
            await channel.exchange_delete(exchange)


async def take(deliveries: Subscription, *, within: float = 5.0) -> Delivery:
    return await asyncio.wait_for(anext(aiter(deliveries)), within)


async def nothing_comes(deliveries: Subscription, *, within: float = 0.2) -> bool:
    with suppress(TimeoutError):
        await take(deliveries, within=within)
        return False
    return True


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 8.0) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - a broker's state has no event to wait for
            await asyncio.sleep(0.02)


async def has_depth(bus: Bus, queue: QueueName, depth: int) -> bool:
    """False too while the broker cannot be asked."""
    try:
        return await bus.depth(queue) == depth
    except PlatformAwayError:
        return False


async def fill(bus: Bus, queue: QueueName) -> int:
    """Publish until the queue refuses; how many it took."""
    for count in range(1_000):
        try:
            await bus.publish(queue, Message("test", b"filler"))
        except BackpressureError:
            return count
    raise AssertionError("a bounded queue took a thousand messages")


class Proxy:
    """TCP between the bus and the broker: cut it, refuse everybody for a while, or (`flowing`) let nothing through."""

    def __init__(self, url: str) -> None:
        self._target = URL(url)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusing = False
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.url = ""

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = str(self._target.with_host("127.0.0.1").with_port(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.flowing.set()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every connection dies in the middle of whatever it was doing."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        upstream, to_broker = await asyncio.open_connection(self._target.host, self._target.port)
        self._open |= {writer, to_broker}
        for source, sink in ((reader, to_broker), (upstream, writer)):
            task = asyncio.create_task(self._pipe(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(65_536):
                await self.flowing.wait()
                sink.write(chunk)
                await sink.drain()
        sink.transport.abort()
