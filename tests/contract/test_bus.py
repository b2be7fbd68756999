"""What every bus promises (`shared.messaging.ports`), kept by both adapters."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from bus_rig import amqp_bus, eventually, fill, has_depth, nothing_comes, take
from cancelling import swallowed_ends

from shared.errors import BackpressureError, PlatformAwayError, PoisonMessageError
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Bus, Message, QueueState
from shared.messaging.topology import DELIVERY_LIMIT, MAX_BODY_BYTES, MAX_DELAY, QueueName


@pytest.fixture(params=["memory", "amqp"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "amqp":
        async with amqp_bus(request.getfixturevalue("amqp_url")) as real:
            yield real
    else:
        memory = MemoryBus()
        yield memory
        await memory.close()


def message(text: str = "x") -> Message:
    return Message("test", text.encode())


async def test_what_is_published_arrives_unchanged(bus: Bus) -> None:
    sent = Message("page.fetch", b'{"n": 1.10}\x00\xff', {"attempt_transient": 2, "trace": "00-ab"})

    await bus.publish("fetch", sent)

    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        delivery = await take(deliveries)
        assert (delivery.message, delivery.queue, delivery.redelivered) == (sent, "fetch", False)
        await delivery.ack()
        await delivery.ack()  # settling twice is harmless
        assert await nothing_comes(deliveries)
    assert await bus.depth("fetch") == 0


async def test_a_queue_tells_what_waits_and_who_consumes(bus: Bus) -> None:
    for _ in range(2):
        await bus.publish("fetch", message())
    await eventually(lambda: has_state(bus, "fetch", QueueState(2, 0)))
    async with bus.subscribe("fetch", prefetch=1) as deliveries, bus.subscribe("write", prefetch=1):
        await take(deliveries)  # in a worker's hands: it waits no more
        await eventually(lambda: has_state(bus, "fetch", QueueState(1, 1)))
        async with bus.subscribe("fetch", prefetch=1):
            await eventually(lambda: has_state(bus, "fetch", QueueState(0, 2)))
    await eventually(lambda: has_state(bus, "fetch", QueueState(2, 0)))


async def has_state(bus: Bus, queue: QueueName, state: QueueState) -> bool:
    return await bus.inspect(queue) == state


async def test_whoever_sends_or_looks_can_be_cancelled_at_any_moment(bus: Bus) -> None:
    assert await swallowed_ends(lambda: bus.publish("fetch", message())) == []
    assert await swallowed_ends(lambda: bus.inspect("write")) == []

    assert await bus.inspect("write") == QueueState(0, 0)
    assert await bus.ready()  # no connection was lost by it


async def test_queues_do_not_mix(bus: Bus) -> None:
    await bus.publish("fetch", message())

    async with bus.subscribe("write", prefetch=1) as deliveries:
        assert await nothing_comes(deliveries)


async def test_a_dead_consumers_message_comes_again(bus: Bus) -> None:
    await bus.publish("fetch", message())
    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        await take(deliveries)

    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        again = await take(deliveries)
        assert again.redelivered
        await again.ack()


async def test_a_requeued_message_comes_again(bus: Bus) -> None:
    await bus.publish("fetch", message())
    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        await (await take(deliveries)).requeue()
        again = await take(deliveries)
        assert again.redelivered
        await again.ack()
        assert await nothing_comes(deliveries)


async def test_two_consumers_share_a_queue_without_doubles(bus: Bus) -> None:
    bodies = {f"{number}" for number in range(40)}
    await bus.publish_many("fetch", [message(body) for body in bodies])
    got: list[str] = []

    async def consume() -> None:
        async with bus.subscribe("fetch", prefetch=3) as deliveries:
            while len(got) < len(bodies):
                try:
                    delivery = await take(deliveries, within=0.3)
                except TimeoutError:
                    continue
                got.append(delivery.message.body.decode())
                await delivery.ack()

    async with asyncio.timeout(10):
        await asyncio.gather(consume(), consume())

    assert sorted(got) == sorted(bodies)


async def test_many_tasks_may_iterate_one_subscription(bus: Bus) -> None:
    await bus.publish_many("fetch", [message(f"{number}") for number in range(20)])
    got: list[bytes] = []

    async with bus.subscribe("fetch", prefetch=4) as deliveries:

        async def work() -> None:
            async for delivery in deliveries:
                got.append(delivery.message.body)
                await delivery.ack()

        workers = [asyncio.create_task(work()) for _ in range(3)]

        async def all_here() -> bool:
            return len(got) == 20

        await eventually(all_here)
        await deliveries.stop()
        await asyncio.wait_for(asyncio.gather(*workers), 5)  # the end reaches each of them


async def test_prefetch_bounds_what_is_unsettled(bus: Bus) -> None:
    await bus.publish_many("fetch", [message(f"{number}") for number in range(5)])

    async with bus.subscribe("fetch", prefetch=2) as deliveries:
        first, second = await take(deliveries), await take(deliveries)
        assert await nothing_comes(deliveries)
        await first.ack()
        third = await take(deliveries)
        assert await nothing_comes(deliveries)
        for delivery in (second, third):
            await delivery.ack()


async def test_what_is_here_can_be_gathered_without_waiting(bus: Bus) -> None:
    await bus.publish_many("write", [message(f"{number}") for number in range(3)])

    async with bus.subscribe("write", prefetch=10) as deliveries:
        batch = [await take(deliveries)]

        async def gathered() -> bool:
            while (another := deliveries.take_nowait()) is not None:
                batch.append(another)
            return len(batch) == 3

        await eventually(gathered)
        assert deliveries.take_nowait() is None
        for delivery in batch:
            await delivery.ack()


async def test_a_delayed_message_comes_at_its_time(bus: Bus) -> None:
    """Less than the shortest delay queue, exactly one, and one that has to hop (2 s, then 1 s, then the rest)."""
    wanted = {"0.3": 0.3, "1": 1.0, "2.3": 2.3, "3.2": 3.2}
    arrived: dict[str, float] = {}

    async with bus.subscribe("fetch", prefetch=1) as deliveries:  # one that waits must not block the others
        started = time.monotonic()
        for body, delay in reversed(wanted.items()):
            await bus.publish("fetch", message(body), delay=delay)
        for _ in wanted:
            delivery = await take(deliveries)
            arrived[delivery.message.body.decode()] = time.monotonic() - started
            assert delivery.message.headers == {}, "the adapter's own headers stay inside"
            await delivery.ack()

    assert list(arrived) == list(wanted)
    assert {
        body: wanted[body] - 0.05 <= seconds <= wanted[body] + 1.0 for body, seconds in arrived.items()
    } == dict.fromkeys(wanted, True), arrived


async def test_a_delay_beyond_the_longest_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="longer"):
        await bus.publish("fetch", message(), delay=MAX_DELAY + 1)


async def test_a_body_that_no_broker_takes_is_refused(bus: Bus) -> None:
    with pytest.raises(PoisonMessageError):
        await bus.publish("fetch", Message("test", bytes(MAX_BODY_BYTES + 1)))
    await bus.publish("fetch", message())  # and the bus goes on


async def test_a_full_queue_refuses_and_recovers(bus: Bus) -> None:
    took = await fill(bus, "transform")
    assert 60 <= took <= 80

    with pytest.raises(BackpressureError):
        await bus.publish_many("transform", [message() for _ in range(30)])

    async with bus.subscribe("transform", prefetch=40) as deliveries:
        for _ in range(40):
            await (await take(deliveries)).ack()

    async def takes_again() -> bool:
        try:
            await bus.publish("transform", message())
        except BackpressureError:
            return False
        return True

    await eventually(takes_again)


async def test_a_message_that_always_comes_back_ends_in_the_dead_letters(bus: Bus) -> None:
    sent = Message("page.fetch", b"poison", {"attempt_transient": 1})
    await bus.publish("fetch", sent)

    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        for _ in range(DELIVERY_LIMIT + 1):
            await (await take(deliveries)).requeue()
        async with bus.subscribe("dead", prefetch=1) as dead:
            delivery = await take(dead)
            assert (delivery.message.kind, delivery.message.body) == (sent.kind, sent.body)
            assert delivery.message.headers == {
                "attempt_transient": 1,
                "queue": "fetch",
                "reason": "delivery_limit",
                "category": "INTERNAL_ERROR",
            }
            await delivery.ack()
        assert await nothing_comes(deliveries)


async def test_dead_letters_themselves_never_die(bus: Bus) -> None:
    await bus.publish("dead", message())

    async with bus.subscribe("dead", prefetch=1) as deliveries:
        for _ in range(DELIVERY_LIMIT + 5):
            await (await take(deliveries)).requeue()
        await (await take(deliveries)).ack()


async def test_a_request_is_answered(bus: Bus) -> None:
    async def answer() -> None:
        async with bus.subscribe("probe", prefetch=5) as deliveries:
            async for delivery in deliveries:
                await delivery.reply(Message("probe.reply", b"re:" + delivery.message.body, {"n": 1}))
                await delivery.ack()

    answering = asyncio.create_task(answer())
    replies = await asyncio.gather(
        *(bus.request("probe", Message("probe.requested", f"{number}".encode()), timeout=5) for number in range(5))
    )
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)

    assert replies == [Message("probe.reply", f"re:{number}".encode(), {"n": 1}) for number in range(5)]


async def test_a_request_that_nobody_answers_gives_up_and_leaves_nothing(bus: Bus) -> None:
    with pytest.raises(PlatformAwayError):
        await bus.request("probe", message(), timeout=0.2)

    await eventually(lambda: has_depth(bus, "probe", 0))
    async with bus.subscribe("probe", prefetch=1) as deliveries:
        assert await nothing_comes(deliveries)
    assert await bus.depth("dead") == 0


async def test_a_late_reply_is_nobodys_trouble(bus: Bus) -> None:
    async with bus.subscribe("probe", prefetch=1) as deliveries:
        asking = asyncio.create_task(bus.request("probe", message(), timeout=0.3))
        delivery = await take(deliveries)
        with pytest.raises(PlatformAwayError):
            await asking
        await delivery.reply(message("late"))
        await delivery.ack()
    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        await bus.publish("fetch", message())
        await (await take(deliveries)).reply(message())  # it was no request at all


async def test_announcements_reach_all_who_listen_now(bus: Bus) -> None:
    await bus.announce(message("too early"))

    async with bus.listen() as one, bus.listen() as other:
        await bus.announce(message("now"))
        heard = await asyncio.wait_for(asyncio.gather(anext(one), anext(other)), 5)
    await bus.announce(message("too late"))

    assert [each.body for each in heard] == [b"now", b"now"]


async def test_a_listener_may_give_up_a_wait_and_listen_on(bus: Bus) -> None:
    async with bus.listen() as heard:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(heard), 0.05)
        await bus.announce(message("later"))
        assert (await asyncio.wait_for(anext(heard), 5)).body == b"later"


async def test_stopping_gives_back_what_nobody_started(bus: Bus) -> None:
    await bus.publish_many("fetch", [message(f"{number}") for number in range(5)])

    async with bus.subscribe("fetch", prefetch=5) as deliveries:
        started = await take(deliveries)
        await deliveries.stop()
        assert [delivery async for delivery in deliveries] == []
        await eventually(lambda: has_depth(bus, "fetch", 4))
        await bus.publish("fetch", message("new"))
        assert deliveries.take_nowait() is None
        await started.ack()

    await eventually(lambda: has_depth(bus, "fetch", 5))


async def test_a_closed_bus_publishes_nothing(bus: Bus) -> None:
    assert await bus.ready()

    await bus.close()

    assert not await bus.ready()
    await bus.announce(message())  # best effort: no error
