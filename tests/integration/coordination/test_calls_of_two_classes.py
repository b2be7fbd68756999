"""A call that counts in two limit classes: paid in both at one moment, or in neither for long."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.fetcher.budget import budgets_of, step_budget
from shared.clock import SystemClock
from shared.connector_sdk.spec import RateLimit
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.redis import RedisServer
from shared.errors import ParkError
from shared.storage.database import Database, open_database

BOTH = ("get", "collection")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, role="headrace_fetcher") as opened:
        yield opened


@pytest.fixture
async def gate(redis_url: str, redis_prefix: str) -> AsyncIterator[SlotGate]:
    async def history(scope: str) -> list[tuple[float, int]]:
        del scope
        return []

    async with RedisServer.at(redis_url) as redis:
        yield SlotGate(RedisRateLimiter(redis, history=history, prefix=redis_prefix), SystemClock())


async def test_each_class_is_spent_and_the_tighter_one_parks_under_its_own_name(gate: SlotGate, db: Database) -> None:
    limits = {"get": RateLimit(per_minute=10), "collection": RateLimit(per_hour=3)}
    budgets = budgets_of(limits, RateLimit(), "account", "member")
    for _ in range(3):
        async with (
            step_budget(gate, db, budgets, dict.fromkeys(BOTH, 1), None) as budget,
            budget.concurrency("get"),
            budget.concurrency("collection"),
        ):
            await budget.spend(*BOTH)
    with pytest.raises(ParkError) as parked:
        async with step_budget(gate, db, budgets, dict.fromkeys(BOTH, 1), None):
            raise AssertionError("a fourth collection was granted")
    assert parked.value.slot.startswith("collection=")
    assert parked.value.wait > 60
    # the class that was free gave its slot back: 7 of 10 are left
    for _ in range(7):
        async with step_budget(gate, db, budgets, {"get": 1}, None) as budget, budget.concurrency("get"):
            await budget.spend("get")
    with pytest.raises(ParkError) as parked:
        async with step_budget(gate, db, budgets, {"get": 1}, None):
            raise AssertionError("an eleventh call was granted")
    assert parked.value.slot.startswith("get=")


async def test_who_finds_a_class_taken_has_spent_nothing_of_the_others(gate: SlotGate, db: Database) -> None:
    limits = {"get": RateLimit(per_minute=2), "report": RateLimit(concurrency=1)}
    budgets, cost = budgets_of(limits, RateLimit(), "account", "member"), {"get": 1, "report": 1}
    async with (
        step_budget(gate, db, budgets, cost, None) as budget,
        budget.concurrency("get"),
        budget.concurrency("report"),
    ):
        await budget.spend("get", "report")
        async with (
            step_budget(gate, db, budgets, cost, None) as late,
            late.concurrency("get"),
            late.concurrency("report"),
        ):
            with pytest.raises(ParkError):
                await late.spend("get", "report")
    async with step_budget(gate, db, budgets, {"get": 1}, None) as budget, budget.concurrency("get"):
        await budget.spend("get")


async def test_no_window_of_either_class_is_overrun_when_both_wait(gate: SlotGate, db: Database) -> None:
    """Sent when the later class allows it, and counted then in both."""
    limits = {"get": RateLimit(per_second=5), "collection": RateLimit(per_second=2)}
    budgets = budgets_of(limits, RateLimit(), "account", "member")
    sent: list[tuple[float, str]] = []

    async def work(classes: tuple[str, ...], number: int) -> None:
        while number:
            try:
                async with step_budget(gate, db, budgets, dict.fromkeys(classes, 1), None) as budget:
                    if len(classes) == 2:
                        async with budget.concurrency("get"), budget.concurrency("collection"):
                            await budget.spend(*classes)
                            sent.append((time.monotonic(), "collection"))
                    else:
                        async with budget.concurrency("get"):
                            await budget.spend("get")
                            sent.append((time.monotonic(), "get"))
                number -= 1
            except ParkError as park:
                await asyncio.sleep(park.wait)

    await asyncio.gather(work(BOTH, 4), work(BOTH, 4), work(("get",), 6), work(("get",), 6))
    sent.sort()
    assert len(sent) == 20
    everything = [at for at, _ in sent]
    collections = [at for at, kind in sent if kind == "collection"]
    assert all(later - first >= 1.0 for first, later in zip(everything, everything[5:], strict=False))
    assert all(later - first >= 1.0 for first, later in zip(collections, collections[2:], strict=False))
