"""What only a real broker can do to the bus: lose connections, lose queues, refuse users, carry strangers' messages."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import aio_pika
import pytest
from bus_rig import Proxy, amqp_bus, eventually, take
from yarl import URL

from shared.errors import PlatformAwayError, StartupError
from shared.messaging.amqp import AmqpBus, Names
from shared.messaging.ports import Message
from shared.messaging.topology import DELIVERY_LIMIT, TOPOLOGY


@dataclass
class Rig:
    bus: AmqpBus
    proxy: Proxy
    names: Names
    url: str


@pytest.fixture
async def rig(amqp_url: str) -> AsyncIterator[Rig]:
    prefix = f"test-{uuid4().hex[:12]}."
    async with Proxy(amqp_url) as proxy, amqp_bus(amqp_url, prefix=prefix, via=proxy.url) as bus:
        yield Rig(bus, proxy, Names(prefix), amqp_url)


async def publish_until_confirmed(bus: AmqpBus, body: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await bus.publish("fetch", Message("test", body.encode()))
            except PlatformAwayError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_cut_connection_loses_nothing_and_the_consumer_resumes(rig: Rig) -> None:
    bodies = {f"{number}" for number in range(300)}
    got: set[str] = set()

    async def consume() -> None:
        async with rig.bus.subscribe("fetch", prefetch=8) as deliveries:
            async for delivery in deliveries:
                await asyncio.sleep(0)
                got.add(delivery.message.body.decode())
                await delivery.ack()  # on a channel that is gone by now this must not raise
                if got == bodies:
                    return

    consuming = asyncio.create_task(consume())
    publishing = asyncio.gather(*(publish_until_confirmed(rig.bus, body) for body in bodies))

    async def under_way() -> bool:
        return len(got) >= 20

    await eventually(under_way)
    rig.proxy.cut()

    await asyncio.wait_for(publishing, 15)
    await asyncio.wait_for(consuming, 15)
    assert got == bodies


async def test_work_goes_on_while_the_connection_is_lost(rig: Rig) -> None:
    """The library cancels its callbacks with the channel; ours only hand over, and work goes on."""
    await rig.bus.publish("fetch", Message("test", b"x"))
    async with rig.bus.subscribe("fetch", prefetch=1) as deliveries:
        first = await take(deliveries)
        rig.proxy.cut()
        again = await take(deliveries, within=8)
        assert (first.redelivered, again.redelivered) == (False, True)
        await first.ack()
        await again.ack()


async def test_while_the_broker_is_away_nothing_is_said_to_be_safe(rig: Rig) -> None:
    rig.proxy.refusing = True
    rig.proxy.cut()

    async def away() -> bool:
        return not await rig.bus.ready()

    await eventually(away)
    await rig.bus.announce(Message("test", b""))  # best effort: at once, without an error
    publishing = asyncio.create_task(rig.bus.publish("fetch", Message("test", b"patient")))
    rig.proxy.refusing = False
    await eventually(rig.bus.ready)
    await asyncio.wait_for(publishing, 5)  # it waited for the connection instead of failing

    assert await rig.bus.depth("fetch") == 1


async def test_an_unknown_outcome_is_an_error(rig: Rig) -> None:
    """Cut while publishes are under way: each either is on the broker or has raised."""

    async def publish() -> bool:
        try:
            await rig.bus.publish("fetch", Message("test", b"x" * 20_000))
        except PlatformAwayError:
            return False
        return True

    publishing = [asyncio.create_task(publish()) for _ in range(120)]
    await asyncio.wait(publishing, return_when=asyncio.FIRST_COMPLETED)
    rig.proxy.cut()
    confirmed = sum(await asyncio.gather(*publishing))

    async def all_confirmed_are_there() -> bool:
        try:
            return await rig.bus.depth("fetch") >= confirmed
        except PlatformAwayError:  # the other connection was cut as well
            return False

    await eventually(all_confirmed_are_there)


async def test_requests_and_listeners_survive_a_cut(rig: Rig) -> None:
    async def answer() -> None:
        async with rig.bus.subscribe("probe", prefetch=5) as deliveries:
            async for delivery in deliveries:
                await delivery.reply(Message("probe.reply", b"yes"))
                await delivery.ack()

    answering = asyncio.create_task(answer())
    async with rig.bus.listen() as heard:
        await rig.bus.request("probe", Message("probe.requested", b""), timeout=5)
        rig.proxy.cut()

        async def answered_again() -> bool:
            try:
                await rig.bus.request("probe", Message("probe.requested", b""), timeout=1)
            except PlatformAwayError:
                return False
            return True

        async def heard_again() -> bool:
            await rig.bus.announce(Message("run.changed", b"x"))
            try:
                await asyncio.wait_for(anext(heard), 0.2)
            except TimeoutError:
                return False
            return True

        await eventually(answered_again, within=12)
        await eventually(heard_again)
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)


async def test_a_vanished_queue_is_an_error_and_is_declared_again(rig: Rig) -> None:
    async with await aio_pika.connect(rig.url) as connection, connection.channel() as channel:
        await channel.queue_delete(rig.names.queue("write"))

    with pytest.raises(PlatformAwayError, match="write"):
        await rig.bus.publish("write", Message("test", b"x"))

    async def declared() -> bool:
        try:
            await rig.bus.publish("write", Message("test", b"x"))
        except PlatformAwayError:
            return False
        return True

    await eventually(declared)
    assert await rig.bus.depth("write") == 1


async def test_a_consumer_that_the_broker_cancels_consumes_again(rig: Rig) -> None:
    async with rig.bus.subscribe("write", prefetch=1) as deliveries:
        await eventually(rig.bus.ready)
        async with await aio_pika.connect(rig.url) as connection, connection.channel() as channel:
            await channel.queue_delete(rig.names.queue("write"))

        async def published() -> bool:
            try:
                await rig.bus.publish("write", Message("test", b"x"))
            except PlatformAwayError:
                return False
            return True

        await eventually(published)
        await (await take(deliveries)).ack()


async def test_a_consumer_that_the_broker_refuses_tries_again(rig: Rig) -> None:
    """Somebody declared the queue with other arguments: no connection is lost, and it heals by itself."""
    name = rig.names.queue("write")
    async with await aio_pika.connect(rig.url) as connection, connection.channel() as channel:
        await channel.queue_delete(name)
        await channel.declare_queue(name, durable=True)
        async with rig.bus.subscribe("write", prefetch=1) as deliveries:
            await asyncio.sleep(0.3)  # at least one try; there is no event for a refusal
            assert not await rig.bus.ready()
            await channel.queue_delete(name)
            await eventually(rig.bus.ready)
            await rig.bus.publish("write", Message("test", b"x"))
            await (await take(deliveries)).ack()


async def test_closing_ends_what_is_under_way_with_an_error(rig: Rig) -> None:
    rig.proxy.flowing.clear()
    publishing = asyncio.create_task(rig.bus.publish("fetch", Message("test", b"x")))
    looking = asyncio.create_task(rig.bus.inspect("fetch"))
    await asyncio.sleep(0.1)  # sent, and stuck in the proxy

    async with asyncio.timeout(5):
        await rig.bus.close()
        for task in (publishing, looking):
            with pytest.raises(PlatformAwayError):
                await task


async def test_what_was_unsettled_comes_back_when_the_process_is_gone(amqp_url: str) -> None:
    prefix = f"test-{uuid4().hex[:12]}."
    async with amqp_bus(amqp_url, prefix=prefix) as survivor:
        other = AmqpBus(amqp_url, prefix=prefix, delay_steps=(1, 2))
        await other.start()  # declaring what is there already is harmless
        await survivor.publish("fetch", Message("test", b"x"))
        async with other.subscribe("fetch", prefetch=1) as deliveries:
            await take(deliveries)
            await other.close()
        async with survivor.subscribe("fetch", prefetch=1) as deliveries:
            again = await take(deliveries)
            assert again.redelivered
            await again.ack()


async def test_a_broker_that_refuses_us_is_named_at_start(amqp_url: str) -> None:
    bus = AmqpBus(str(URL(amqp_url).with_password("wrong")))
    try:
        with pytest.raises(StartupError, match="HEADRACE_AMQP_URL"):
            await bus.start()
    finally:
        await asyncio.wait_for(bus.close(), 5)


async def test_a_vhost_that_is_not_there_may_still_come(amqp_url: str) -> None:
    """A node that starts answers as one without the vhost does."""
    bus = AmqpBus(str(URL(amqp_url).with_path("/nowhere")))
    await bus.start(timeout=0.5)

    assert not await bus.ready()
    await asyncio.wait_for(bus.close(), 5)


async def test_a_broker_that_is_away_does_not_hold_up_the_start() -> None:
    bus = AmqpBus("amqp://guest:guest@127.0.0.1:1/")
    await bus.start(timeout=0.2)

    assert not await bus.ready()
    with pytest.raises(PlatformAwayError):
        await bus.request("probe", Message("probe.requested", b""), timeout=0.2)
    await asyncio.wait_for(bus.close(), 5)


async def test_a_strangers_headers_are_not_believed(rig: Rig) -> None:
    strangers = aio_pika.Message(
        b"{}", headers={"not_before": 2**60, "attempt_transient": 99}, type="page.fetch", reply_to="elsewhere"
    )
    async with await aio_pika.connect(rig.url) as connection, connection.channel() as channel:
        public = await channel.get_exchange(rig.names.public, ensure=False)
        await public.publish(strangers, "sync.requested")

    async with rig.bus.subscribe("public", prefetch=1) as deliveries:
        delivery = await take(deliveries)
        assert delivery.message == Message("sync.requested", b"{}", {})
        for _ in range(DELIVERY_LIMIT):
            await delivery.requeue()
            delivery = await take(deliveries)
        await delivery.requeue()
    async with rig.bus.subscribe("dead", prefetch=1) as deliveries:
        dead = await take(deliveries)
        await dead.ack()
    headers = {"queue": "public", "reason": "delivery_limit", "category": "INTERNAL_ERROR"}
    assert dead.message == Message("sync.requested", b"{}", headers)


def test_every_delivery_limit_is_explicit_and_positive() -> None:
    """-1 means `drop at the first return` on 3.10 and `unlimited` on 4.x; none means 20 there and none here."""
    assert all(spec.delivery_limit > 0 for spec in TOPOLOGY)
