"""What the limiter promises, slot by slot. Most of it needs no waiting: a promise names its time."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Sequence

import pytest
from limiter_rig import Rig

from shared.coordination.ports import Budget, Turn
from shared.errors import ConfigurationError, PlatformAwayError

Make = Callable[..., Budget]


def most_in(times: Sequence[float], seconds: float) -> int:
    """The largest number of times in any span (t - seconds, t]."""
    ordered = sorted(times)
    first = worst = 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


@pytest.mark.parametrize("seed", range(12))
async def test_no_window_ever_holds_more_than_its_limit(rig: Rig, budget: Make, seed: int) -> None:
    rng = random.Random(seed)
    windows = [(rng.randint(1, 30), length) for length in rng.sample([0.3, 1.0, 6.0, 60.0], rng.randint(1, 3))]
    limiter, mine = rig.limiter(hold=0.0), budget(*windows)
    kept: list[tuple[str, float, int]] = []
    cheapest = min(limit for limit, _ in windows)
    for _ in range(rng.randint(60, 160)):
        dice = rng.random()
        if dice < 0.08 and kept:
            slot, at, _ = kept.pop(rng.randrange(len(kept)))
            if at > await rig.now() + 1:
                await limiter.unused(mine, slot)
            else:
                kept.append((slot, at, 1))
        elif dice < 0.12:
            await limiter.block("a", rng.random() * 3)
            now = await rig.now()
            kept = [entry for entry in kept if entry[1] < now or (await limiter.redeem(mine, entry[0])).state == "wait"]
        elif dice < 0.16:
            await asyncio.sleep(rng.random() * 0.02)
        else:
            cost = rng.randint(1, min(3, cheapest))
            turn = await limiter.reserve(mine, cost=cost)
            assert turn.state == "wait"
            kept.append((turn.slot, turn.at, cost))
    times = [at for _, at, cost in kept for _ in range(cost)]
    for limit, seconds in windows:
        assert most_in(times, seconds + rig.margin) <= limit, (limit, seconds)


async def test_first_come_first_served_over_many_askers(rig: Rig, budget: Make) -> None:
    limiters = [rig.limiter() for _ in range(4)]
    turns = [await limiters[i % 4].reserve(budget((5, 1.0), (20, 60.0)), cost=1 + i % 2) for i in range(40)]
    times = [turn.at for turn in turns]
    assert times == sorted(times)
    assert times[-1] > times[0] + 60


async def test_nobody_overtakes_those_who_wait_when_calls_come_back(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((3, 60.0))
    step = await limiter.reserve(mine, cost=3)
    waiting = await limiter.reserve(mine)
    await limiter.unused(mine, step.slot)
    assert (await limiter.reserve(mine)).at >= waiting.at > step.at + 60


async def test_slots_that_wait_are_spread_and_fill_the_budget(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((120, 6.0))
    times = [(await limiter.reserve(mine)).at for _ in range(480)]
    waiting = times[120:]
    assert max(b - a for a, b in itertools.pairwise(waiting)) < 1.0  # no herd, then six seconds of nothing
    assert max(waiting.count(at) for at in waiting) == 1
    assert 480 / (times[-1] - times[0]) >= 120 / 6.02


async def test_a_step_reserves_all_its_calls_and_holds_their_place(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(hold=2.0), budget((3, 1.0))
    step = await limiter.reserve(mine, cost=2)
    assert (await limiter.start(mine, step.slot, "l1")).state == "go"
    await asyncio.sleep(0.2)  # the first call takes long: the second is sent late and must still count
    assert (await limiter.start(mine, step.slot, "l2")).state == "go"
    sent = await rig.now()
    assert (await limiter.start(mine, step.slot, "l3")).state == "void"
    single = [await limiter.reserve(mine) for _ in range(3)]
    assert single[0].wait == 0
    assert single[2].at >= sent + 1.0, "the second call counts from when it was sent"


async def test_more_calls_in_a_step_than_the_window_allows_follow_each_other(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((1, 0.2))
    step = await limiter.reserve(mine, cost=3)
    sent: list[float] = []
    for number in range(3):
        turn = await limiter.start(mine, step.slot, f"lease{number}")
        if turn.state == "wait":
            await asyncio.sleep(turn.wait + 0.002)
            turn = await limiter.start(mine, step.slot, f"lease{number}")
        assert turn.state == "go"
        sent.append(await rig.now())
    assert most_in(sent, 0.2) == 1
    with pytest.raises(ConfigurationError, match="needs 3 calls"):
        await limiter.reserve(budget((1, 60.0), scope="b"), cost=3)


async def test_a_slot_is_good_at_its_time_only(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(margin=0.1), budget((1, 0.3))
    assert (await limiter.reserve(mine, start="l0")).state == "go"
    slot = await limiter.reserve(mine)
    early = await limiter.start(mine, slot.slot, "l1")
    assert early.state == "wait"
    assert early.wait == pytest.approx(slot.at - await rig.now(), abs=0.05)
    missed = await limiter.reserve(mine)
    await asyncio.sleep(slot.at - await rig.now())
    assert (await limiter.start(mine, slot.slot, "l1")).state == "go"
    assert (await limiter.start(mine, slot.slot, "l1")).state == "go", "the same request, sent twice, is one call"
    assert (await limiter.redeem(mine, slot.slot)).state == "void", "used"
    await asyncio.sleep(missed.at - await rig.now() + 0.06)  # half of the margin and a little more
    assert (await limiter.redeem(mine, missed.slot)).state == "void", "missed"
    assert (await limiter.redeem(mine, "unheard-of")).state == "void"


async def test_a_block_holds_everybody_and_voids_what_falls_inside(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((2, 1.0))
    turns = [await limiter.reserve(mine) for _ in range(12)]
    await limiter.block("a", 3.0)
    until = await rig.now() + 3.0
    await limiter.block("a", 0.5)  # a shorter one does not shorten it
    states = [(await limiter.redeem(mine, turn.slot)).state for turn in turns]
    assert states == ["void" if turn.at < until else "wait" for turn in turns]
    assert {"void", "wait"} == set(states)
    after = await limiter.reserve(mine)
    assert after.at >= turns[-1].at >= until
    other = await limiter.reserve(budget((2, 1.0), scope="other"))
    assert other.wait == 0


async def test_slots_voided_by_a_block_spend_no_budget(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((1, 10.0))
    turns = [await limiter.reserve(mine) for _ in range(2)]
    await limiter.block("a", 15)
    assert (await limiter.redeem(mine, turns[1].slot)).state == "void"
    assert (await limiter.reserve(mine)).wait == pytest.approx(15, abs=0.1)


async def test_a_block_alone_spreads_what_waits_for_its_end(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((10, 1.0))
    await limiter.block("a", 2.0)
    turns = [await limiter.reserve(mine) for _ in range(5)]
    assert turns[0].wait == pytest.approx(2.0, abs=0.1)
    assert turns[4].at - turns[0].at == pytest.approx(4 * 0.102 * 0.9, abs=0.01)


@pytest.mark.parametrize(("window", "cost"), [((300, 3600.0), 3), ((120, 60.0), 20)], ids=["hourly", "a step"])
async def test_a_budget_that_is_hardly_touched_is_not_spread_over_its_window_by_a_block(
    rig: Rig, budget: Make, window: tuple[int, float], cost: int
) -> None:
    limiter, mine = rig.limiter(), budget(window)
    await limiter.reserve(mine, cost=cost)
    await limiter.block("a", 2.0)
    turns = [await limiter.reserve(mine, cost=cost) for _ in range(4)]
    assert turns[0].wait == pytest.approx(2.0, abs=0.1)
    apart = [later.at - sooner.at for sooner, later in itertools.pairwise(turns)]
    assert apart == pytest.approx([1.0] * 3, abs=0.01)


async def test_concurrency_caps_calls_in_flight_and_a_dead_holder_frees_its_place(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(lease_ttl=0.3), budget((100, 1.0), concurrency=2)
    assert (await limiter.reserve(mine, start="one")).leased
    assert (await limiter.reserve(mine, start="two")).leased
    assert (await limiter.reserve(mine, start="three")).state == "busy"
    unlimited = budget((100, 1.0))
    assert (await limiter.reserve(unlimited, start="four")).state == "busy", "another member's cap holds too"
    await limiter.release(mine, "one")
    assert (await limiter.reserve(mine, start="three")).state == "go"
    for _ in range(4):  # "two" has died, "three" lives
        await asyncio.sleep(0.1)
        await limiter.renew(mine, "three")
    assert (await limiter.reserve(mine, start="five")).state == "go"
    assert (await limiter.reserve(mine, start="six")).state == "busy"


async def test_busy_burns_no_budget(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((2, 60.0), concurrency=1)
    assert (await limiter.reserve(mine, start="one")).state == "go"
    for number in range(5):
        assert (await limiter.reserve(mine, start=f"try{number}")).state == "busy"
    await limiter.release(mine, "one")
    assert (await limiter.reserve(mine, start="two")).state == "go"


@pytest.mark.parametrize("names", ["ab", "ba", "cd", "dc", "ef", "fe"])  # Redis keeps the members in no order
async def test_the_tightest_of_two_sources_holds_and_a_change_counts_at_once(
    rig: Rig, budget: Make, names: str
) -> None:
    limiter = rig.limiter()
    loose, tight = budget((100, 60.0), member=names[0]), budget((2, 60.0), (1, 1.0), member=names[1])
    await limiter.reserve(tight)
    turns = [await limiter.reserve(loose) for _ in range(2)]
    assert turns[0].wait > 0.5
    assert turns[1].wait > 55
    await limiter.unused(loose, turns[1].slot)
    await limiter.reserve(budget((50, 60.0), member=names[1]))
    assert (await limiter.reserve(loose)).wait < 5


async def test_unused_calls_come_back(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((4, 60.0))
    step = await limiter.reserve(mine, cost=3)
    assert (await limiter.start(mine, step.slot, "l")).state == "go"
    await limiter.unused(mine, step.slot)
    assert (await limiter.start(mine, step.slot, "l2")).state == "void"
    assert [(await limiter.reserve(mine)).wait for _ in range(3)] == [0, 0, 0]
    assert (await limiter.reserve(mine)).wait > 55


async def test_nothing_is_promised_beyond_the_horizon(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(horizon=100), budget((1, 60.0))
    turns = [await limiter.reserve(mine) for _ in range(4)]
    assert [turn.state for turn in turns] == ["wait", "wait", "far", "far"]
    assert turns[3].slot == ""


async def test_an_empty_redis_is_filled_from_the_history_before_anything_is_granted(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((5, 60.0))
    assert (await limiter.reserve(mine)).wait == 0, "never called: starts at once"
    parked = [await limiter.reserve(mine) for _ in range(6)][-1]
    rig.calls = [(await rig.now() - 30, 2), (await rig.now() - 100, 50), (await rig.now() + 40, 2)]
    await rig.empty()
    assert (await limiter.redeem(mine, parked.slot)).state == "void"
    rig.asked = 0
    turns = await asyncio.gather(*(rig.limiter().reserve(mine) for _ in range(4)))
    waits = sorted(turn.wait for turn in turns)
    assert waits[0] == 0, "four of five were spent"
    assert 29 < waits[1] < 31, "the two of half a minute ago leave first"
    assert waits[3] > 58
    before = rig.asked
    await limiter.reserve(mine)
    assert rig.asked == before


async def test_a_restart_that_brings_an_old_log_back_is_completed_not_trusted(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((5, 60.0))
    survivors = [await limiter.reserve(mine, start=f"l{i}") for i in range(2)]
    promised = [await limiter.reserve(mine) for _ in range(5)][-1]
    meta = next(key for key in await rig.keys() if key.endswith(b":meta"))
    await rig.raw.hset(meta, "run", "another-run")
    rig.calls = [(await rig.now(), 5)]  # five were sent; the log that came back knows of those before now
    assert (await limiter.redeem(mine, promised.slot)).state == "void"
    assert (await limiter.start(mine, survivors[0].slot, "late")).state == "void"
    assert (await limiter.reserve(mine)).wait > 55
    assert await rig.raw.zcard(meta.replace(b":meta", b":log")) == 5 + 1 + 1, "none twice, a sentinel, the new one"


async def test_a_window_longer_than_the_log_reaches_asks_the_history(rig: Rig, budget: Make) -> None:
    limiter = rig.limiter()
    await limiter.reserve(budget((5, 1.0), member="m"))
    asked = rig.asked
    rig.calls = [(await rig.now() - 1000, 10)]
    turn = await limiter.reserve(budget((5, 1.0), (10, 3600.0), member="m"))
    assert rig.asked == asked + 1
    assert turn.wait > 2500


async def test_without_its_history_nothing_is_granted(rig: Rig, budget: Make) -> None:
    async def away(_scope: str) -> list[tuple[float, int]]:
        raise PlatformAwayError("Postgres is away")

    limiter = rig.limiter()
    limiter._history = away
    with pytest.raises(PlatformAwayError, match="Postgres"):
        await limiter.reserve(budget((5, 1.0)))


async def test_idle_accounts_vanish_and_odd_names_are_hashed(rig: Rig, budget: Make) -> None:
    odd = budget((5, 1.0), concurrency=2, scope="user {x}: " + "é" * 500)
    limiter = rig.limiter()
    assert (await limiter.reserve(odd, start="l")).state == "go"
    await limiter.block(odd.scope, 1)
    keys = await rig.keys()
    assert len(keys) == 5
    for key in keys:
        assert await rig.raw.pttl(key) > 0
        assert len(key) < 200
        assert key.count(b"{") == key.count(b"}") == 1


async def test_without_windows_only_block_and_concurrency_hold(rig: Rig, budget: Make) -> None:
    limiter, free = rig.limiter(), budget()
    turns: list[Turn] = [await limiter.reserve(free, start=f"l{i}") for i in range(20)]
    assert {turn.state for turn in turns} == {"go"}
    await limiter.block("a", 5)
    assert (await limiter.reserve(free)).wait > 4


async def test_arguments_are_checked(rig: Rig, budget: Make) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        await rig.limiter().reserve(budget((1, 1.0)), cost=0)
    with pytest.raises(ValueError, match="positive"):
        budget((0, 1.0))
    assert json.dumps(await rig.keys()) == "[]"


async def test_a_look_tells_what_is_spent_promised_and_blocked(rig: Rig, budget: Make) -> None:
    limiter, mine = rig.limiter(), budget((3, 60.0), (100, 3600.0), concurrency=2)
    assert (await limiter.look(mine.scope)).windows == ()
    for lease in ("one", "two"):
        assert (await limiter.reserve(mine, start=lease)).state == "go"
    await limiter.release(mine, "one")
    await limiter.reserve(mine)
    assert (await limiter.reserve(mine)).wait > 50
    before = await rig.keys()

    state = await limiter.look(mine.scope)

    assert [(window.limit, window.seconds, window.used) for window in state.windows] == [(3, 60, 3), (100, 3600, 3)]
    assert (state.concurrency, state.in_flight, state.waiting, state.blocked_until) == (2, 1, 1, None)
    await limiter.block(mine.scope, 30)
    until = (await limiter.look(mine.scope)).blocked_until
    assert until is not None
    assert 25 < until - await rig.now() <= 30
    assert sorted(await rig.keys()) == sorted(before), "a look leaves nothing behind"
