"""Work done together: in order, bounded, and no item fails its neighbours."""

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.gathering import MAX_WEIGHT, Gatherer
from shared.errors import PlatformAwayError


class Bench:
    """Doubles numbers; waits at the gate, and stumbles over what it is told to."""

    def __init__(
        self, *, bad: int | None = None, error: Exception | None = None, most: int = 200, heavy: bool = False
    ) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._bad = bad
        self._error = error or ValueError("bad")
        self.gatherer: Gatherer[int, int] = Gatherer(self._work, most, (lambda item: item) if heavy else lambda _: 1)

    async def _work(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self._bad in items:
            raise self._error
        return [item * 2 for item in items]

    async def all(self, *items: int) -> list[int | BaseException]:
        return await asyncio.gather(*(self.gatherer.do(item) for item in items), return_exceptions=True)


async def test_who_comes_meanwhile_is_in_the_next_batch() -> None:
    bench = Bench()
    bench.gate.clear()
    first = asyncio.create_task(bench.gatherer.do(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = asyncio.create_task(bench.all(2, 3, 4))
    await asyncio.sleep(0)
    bench.gate.set()
    assert (await first, await rest) == (2, [4, 6, 8])
    assert bench.batches == [[1], [2, 3, 4]]
    assert await bench.gatherer.do(5) == 10, "it begins again"


async def test_a_batch_is_bounded() -> None:
    bench = Bench(most=2)
    assert await bench.all(1, 2, 3, 4, 5) == [2, 4, 6, 8, 10]
    assert bench.batches == [[1, 2], [3, 4], [5]]


async def test_a_batch_is_bounded_by_weight_and_one_item_may_exceed_it() -> None:
    bench = Bench(heavy=True)
    half, whole = MAX_WEIGHT // 2, MAX_WEIGHT + 1
    assert await bench.all(half, half, 1, whole, 2) == [2 * half, 2 * half, 2, 2 * whole, 4]
    assert bench.batches == [[half, half], [1], [whole], [2]]


async def test_what_stumbles_fails_alone() -> None:
    bench = Bench(bad=2)
    one, two, three = await bench.all(1, 2, 3)
    assert (one, three) == (2, 6)
    assert isinstance(two, ValueError)
    assert bench.batches == [[1, 2, 3], [1], [2], [3]]


async def test_an_outage_is_told_to_all_and_not_tried_for_each() -> None:
    bench = Bench(bad=2, error=PlatformAwayError("away"))
    assert {type(found) for found in await bench.all(1, 2, 3)} == {PlatformAwayError}
    assert bench.batches == [[1, 2, 3]]


async def test_who_leaves_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.gate.clear()
    leaver, stayer = (asyncio.create_task(bench.gatherer.do(item)) for item in (1, 2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaver.cancel()
    bench.gate.set()
    assert await stayer == 4
    with pytest.raises(asyncio.CancelledError):
        await leaver
