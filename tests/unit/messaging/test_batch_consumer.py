"""The consumer of batches: their bounds, and who pays when one fails."""

from collections.abc import Awaitable, Callable

from consumer_rig import Rig

from shared.errors import PlatformAwayError, PoisonMessageError
from shared.messaging.consumer import BatchConsumer
from shared.messaging.ports import Message


class Batches:
    """A batch handler that remembers its batches and fails when a body is among `guilty`."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.guilty: dict[bytes, Exception] = {}
        self.away = 0

    async def handle(self, messages: list[Message]) -> None:
        self.batches.append([message.body for message in messages])
        if self.away:
            self.away -= 1
            raise PlatformAwayError("postgres")
        for message in messages:
            if message.body in self.guilty:
                raise self.guilty[message.body]


def batch_consumer(rig: Rig, handler: Callable[[list[Message]], Awaitable[None]], **changes: int) -> BatchConsumer:
    sizes = {"workers": 1, "prefetch": 20, "max_batch": 4, "max_bytes": 10_000, **changes}
    return BatchConsumer(rig.bus, "write", handler, hooks=rig.hooks, clock=rig.clock, observer=rig.seen, **sizes)


async def test_a_batch_takes_what_is_there_within_its_bounds(rig: Rig) -> None:
    batches = Batches()
    for number in range(10):
        await rig.publish(f"{number}", "write")

    async with rig.running(batch_consumer(rig, batches.handle)):
        await rig.until(lambda: sum(map(len, batches.batches)) == 10)

    assert [len(batch) for batch in batches.batches] == [4, 4, 2]
    assert await rig.taken("write") == []


async def test_a_batch_closes_when_its_bytes_are_reached(rig: Rig) -> None:
    batches = Batches()
    for _ in range(4):
        await rig.publish("x" * 60, "write")

    async with rig.running(batch_consumer(rig, batches.handle, max_bytes=100)):
        await rig.until(lambda: sum(map(len, batches.batches)) == 4)

    assert [len(batch) for batch in batches.batches] == [2, 2]


async def test_only_the_guilty_message_of_a_batch_gets_the_decision(rig: Rig) -> None:
    batches = Batches()
    batches.guilty = {b"1": PoisonMessageError("bad")}
    for number in range(3):
        await rig.publish(f"{number}", "write")

    async with rig.running(batch_consumer(rig, batches.handle)):
        await rig.until(lambda: len(batches.batches) == 4)
        await rig.idle()

    assert batches.batches == [[b"0", b"1", b"2"], [b"0"], [b"1"], [b"2"]]
    assert rig.seen.outcomes == ["split", "done", "dead", "done"]
    assert [message.body for message in await rig.taken("dead")] == [b"1"]
    assert await rig.taken("write") == []


async def test_an_outage_is_not_a_batchs_fault(rig: Rig) -> None:
    batches = Batches()
    batches.away = 2
    for number in range(3):
        await rig.publish(f"{number}", "write")

    async with rig.running(batch_consumer(rig, batches.handle)):
        await rig.until(lambda: "done" in rig.seen.outcomes, advance=0.1)

    assert batches.batches == [[b"0", b"1", b"2"]] * 3
