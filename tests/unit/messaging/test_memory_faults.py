"""The in-process bus' own knobs: its trouble has to look like a broker's."""

import random

import pytest

from shared.clock import ManualClock
from shared.errors import PlatformAwayError
from shared.messaging.memory import MemoryBus, MemoryFaults
from shared.messaging.ports import Bus, Message


async def drain(bus: Bus) -> list[bytes]:
    got = []
    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        while (delivery := deliveries.take_nowait()) is not None:
            got.append(delivery.message.body)
            await delivery.ack()
    return got


async def test_every_nth_delivery_comes_twice() -> None:
    bus = MemoryBus(faults=MemoryFaults(duplicate_every=3))
    await bus.publish_many("fetch", [Message("test", f"{number}".encode()) for number in range(6)])

    got = await drain(bus)

    assert set(got) == {b"0", b"1", b"2", b"3", b"4", b"5"}
    assert len(got) == 8


async def test_order_can_be_taken_away() -> None:
    bus = MemoryBus(faults=MemoryFaults(reorder=random.Random(1)))
    sent = [f"{number}".encode() for number in range(20)]
    await bus.publish_many("fetch", [Message("test", body) for body in sent])

    got = await drain(bus)

    assert got != sent
    assert sorted(got) == sorted(sent)


async def test_it_can_be_away() -> None:
    bus = MemoryBus()
    bus.faults.away = True

    for delay in (0, 1):
        with pytest.raises(PlatformAwayError):
            await bus.publish("fetch", Message("test", b""), delay=delay)
    assert not await bus.ready()


async def test_delays_follow_the_clock_that_was_passed_in() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock=clock)
    await bus.publish("fetch", Message("test", b"later"), delay=60)
    assert await drain(bus) == []

    clock.advance(60)
    await bus.publish("write", Message("test", b""))  # lets the timer run
    assert await drain(bus) == [b"later"]


async def test_what_was_sent_and_what_arrives_share_nothing() -> None:
    bus = MemoryBus()
    headers = {"trace": "a"}
    await bus.publish("fetch", Message("test", b"", headers))
    headers["trace"] = "changed"

    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        delivery = deliveries.take_nowait()
    assert delivery is not None
    assert delivery.message.headers == {"trace": "a"}


async def test_closing_gives_back_what_was_not_settled() -> None:
    bus = MemoryBus()
    await bus.publish("fetch", Message("test", b"x"))
    async with bus.subscribe("fetch", prefetch=1) as deliveries:
        taken = deliveries.take_nowait()
        await bus.close()
        assert taken is not None
        await taken.ack()  # too late
        assert [delivery async for delivery in deliveries] == []
    assert await bus.depth("fetch") == 1
