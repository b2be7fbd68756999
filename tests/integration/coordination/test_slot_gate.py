"""How callers meet the limiter: short waits here, long ones parked, leases held for as long as a call lasts."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest
from limiter_rig import Rig
from one_call import one_call

from shared.coordination.gate import LEAD
from shared.coordination.ports import Budget
from shared.errors import ParkError

Make = Callable[..., Budget]


async def test_a_short_wait_is_waited_here(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((1, 0.3))
    sent = []
    for _ in range(3):
        async with one_call(gate, mine):
            sent.append(time.monotonic())
    assert sent[1] - sent[0] >= 0.3
    assert sent[2] - sent[1] >= 0.3


async def test_a_long_wait_is_parked_with_its_slot_and_comes_back_to_it(rig: Rig, budget: Make) -> None:
    margin = 0.4  # half of it is how late a busy machine may wake us for the slot
    gate, mine = rig.gate(rig.limiter(margin=margin)), budget((1, 2.2))
    async with one_call(gate, mine):
        pass
    with pytest.raises(ParkError) as parked:
        async with one_call(gate, mine, max_wait=1.0):
            pytest.fail("called too early")
    assert parked.value.wait == pytest.approx(2.2 + margin - LEAD, abs=0.1)
    assert parked.value.resume_at == pytest.approx(await rig.now() + parked.value.wait, abs=0.1)
    with pytest.raises(ParkError) as behind:
        async with one_call(gate, mine, max_wait=1.0):
            pytest.fail("overtook the parked one")
    assert behind.value.wait > parked.value.wait + 2
    await asyncio.sleep(parked.value.wait)
    async with one_call(gate, mine, max_wait=1.0, slot=parked.value.slot):
        assert await rig.now() >= parked.value.resume_at + LEAD


async def test_coming_back_too_early_parks_again_with_the_same_slot(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((1, 20.0))
    async with one_call(gate, mine):
        pass
    with pytest.raises(ParkError) as first:
        async with one_call(gate, mine):
            pytest.fail("called too early")
    with pytest.raises(ParkError) as again:
        async with one_call(gate, mine, slot=first.value.slot):
            pytest.fail("called too early")
    assert again.value.slot == first.value.slot
    await rig.gate().block("a", 30)
    with pytest.raises(ParkError) as blocked:
        async with one_call(gate, mine, slot=first.value.slot):
            pytest.fail("called in a 429 block")
    assert blocked.value.slot not in {"", first.value.slot}
    assert blocked.value.wait > 27


async def test_a_block_reaches_a_caller_that_already_waits(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((1, 0.5))
    async with one_call(gate, mine):
        pass

    async def caller() -> None:
        async with one_call(gate, mine, max_wait=1.0):
            pytest.fail("called in a 429 block")

    waiting = asyncio.create_task(caller())
    await rig.until_promised()
    await gate.block("a", 60)
    with pytest.raises(ParkError):
        await asyncio.wait_for(waiting, 5)


async def test_a_step_gives_back_what_it_did_not_call(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((3, 60.0))
    async with gate.step(mine, cost=3) as grant, grant.call():
        pass
    async with gate.step(mine, cost=2) as grant:
        for _ in range(2):
            async with grant.call():
                pass
    with pytest.raises(ParkError):
        async with one_call(gate, mine):
            pytest.fail("a fourth call in the window")


async def test_a_call_beyond_the_steps_cost_reserves_for_itself(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((2, 60.0))
    async with gate.step(mine, cost=1) as grant:
        for _ in range(2):
            async with grant.call():
                pass
        with pytest.raises(ParkError) as parked:
            async with grant.call():
                pytest.fail("a third call in the window")
    turn = await rig.limiter().redeem(mine, parked.value.slot)
    assert turn.state == "wait", "the slot belongs to the message, the step did not give it back"


async def test_a_step_that_outlives_its_slot_starts_over_with_more_time(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(hold=0.1), budget((2, 4.0))
    gate = rig.gate(limiter)

    async def slow_step() -> None:
        async with gate.step(mine, cost=2, max_wait=0.5) as grant:
            async with grant.call():
                pass
            for _ in range(2):
                await limiter.reserve(mine)
            await asyncio.sleep(0.3)
            async with grant.call():
                pytest.fail("called too late")

    with pytest.raises(ParkError) as parked:
        await slow_step()
    key = next(key for key in await rig.keys() if key.endswith(f":slot:{parked.value.slot}".encode()))
    slot = await rig.raw.hgetall(key)
    assert int(slot[b"cost"]) == 2
    assert int(slot[b"until"]) - int(slot[b"at"]) > 10_000_000


async def test_concurrency_is_held_for_the_call_and_freed_by_errors_and_cancellation(rig: Rig, budget: Make) -> None:
    gate = rig.gate(rig.limiter(lease_ttl=0.4), renew_every=0.1)
    mine = budget((1000, 1.0), concurrency=2)
    inside = peak = done = 0
    stuck = asyncio.Event()

    async def caller(number: int) -> None:
        nonlocal inside, peak, done
        async with one_call(gate, mine, max_wait=5.0):
            inside += 1
            peak = max(peak, inside)
            try:
                await asyncio.sleep(0.6 if number == 0 else 0.02)  # longer than a lease lives without its heart
                if number == 3:
                    raise KeyError
                if number == 9:
                    stuck.set()
                    await asyncio.Event().wait()
            finally:
                inside -= 1
                done += 1

    tasks = [asyncio.create_task(caller(number)) for number in range(10)]
    await asyncio.wait_for(stuck.wait(), 10)
    tasks[9].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results if result) == ["CancelledError", "KeyError"]
    assert peak == 2
    assert done == 10
    leases = next((key for key in await rig.keys() if key.endswith(b":leases")), None)
    assert leases is None or await rig.raw.zcard(leases) == 0


async def test_a_caller_that_finds_no_lease_for_long_parks_without_a_slot(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((10, 1.0), concurrency=1)
    async with one_call(gate, mine):
        with pytest.raises(ParkError) as parked:
            async with one_call(gate, mine, max_wait=0.1):
                pytest.fail("two at once")
    assert parked.value.slot == ""
    async with one_call(gate, mine, slot=parked.value.slot):
        pass


async def test_a_refused_reservation_parks_without_a_slot(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(rig.limiter(horizon=10)), budget((1, 60.0))
    async with one_call(gate, mine):
        pass
    with pytest.raises(ParkError) as parked:
        async with one_call(gate, mine):
            pytest.fail("called too early")
    assert parked.value.slot == ""
    assert 25 < parked.value.wait < 31


async def test_a_cancelled_wait_leaves_no_slot_behind(rig: Rig, budget: Make) -> None:
    gate, mine = rig.gate(), budget((1, 1.0))
    async with one_call(gate, mine):
        pass

    async def caller() -> None:
        async with one_call(gate, mine):
            pytest.fail("cancelled before")

    waiting = asyncio.create_task(caller())
    await rig.until_promised()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert (await rig.limiter().reserve(mine)).wait < 1.02
