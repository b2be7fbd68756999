"""A test or a preview that finds the budget spent is told so, and costs those who wait nothing."""

from collections.abc import AsyncIterator, Mapping

import pytest
from limiter_rig import Rig

from services.fetcher.budget import SpentBudget, StepBudget, budgets_of, step_budget
from shared.connector_sdk.spec import RateLimit
from shared.coordination.ports import Budget
from shared.errors import ParkError
from shared.storage.cache_rules import CacheUse
from shared.storage.database import Database, open_database

TESTS = 4


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, role="headrace_fetcher") as opened:
        yield opened


def budgets() -> Mapping[str, Budget]:
    return budgets_of({"get": RateLimit(per_minute=2), "report": RateLimit(per_hour=100)}, RateLimit(), "a", "mine")


async def call(budget: StepBudget | SpentBudget, *limit_classes: str) -> None:
    for limit_class in limit_classes:
        async with budget.concurrency(limit_class):
            await budget.spend(limit_class)


async def spend_all(rig: Rig, db: Database) -> None:
    async with step_budget(rig.gate(), db, budgets(), {"get": 2}, None) as budget:
        await call(budget, "get", "get")


async def wait_of_the_next(rig: Rig, db: Database) -> float:
    """What a run's step would be told now; it is not kept waiting for."""
    with pytest.raises(ParkError) as parked:
        async with step_budget(rig.gate(), db, budgets(), {"get": 1}, None):
            pytest.fail("granted beyond the budget")
    limit_class, _, slot = parked.value.slot.partition("=")
    await rig.gate().give_back(budgets()[limit_class], slot)
    return parked.value.wait


@pytest.mark.parametrize("use", ["never", "first", "stand_in"])
async def test_tests_on_a_spent_budget_make_nobody_wait_longer(rig: Rig, db: Database, use: CacheUse) -> None:
    await spend_all(rig, db)
    before = await wait_of_the_next(rig, db)
    for _ in range(TESTS):
        with pytest.raises(ParkError) as told:
            async with step_budget(
                rig.gate(), db, budgets(), {"report": 1, "get": 1}, None, use=use, parks=False
            ) as budget:
                await call(budget, "get")
        assert told.value.slot == ""
        assert told.value.wait > 50
    assert await rig.promised() == 0
    assert await wait_of_the_next(rig, db) <= before


async def test_a_call_beyond_the_steps_cost_promises_nothing_either(rig: Rig, db: Database) -> None:
    with pytest.raises(ParkError) as told:
        async with step_budget(rig.gate(), db, budgets(), {"get": 1}, None, parks=False) as budget:
            await call(budget, "get", "get", "get")
    assert told.value.slot == ""
    assert await rig.promised() == 0
    before = await wait_of_the_next(rig, db)
    for _ in range(TESTS):
        with pytest.raises(ParkError):
            async with step_budget(rig.gate(), db, budgets(), {"get": 1}, None, parks=False):
                pytest.fail("granted beyond the budget")
    assert await wait_of_the_next(rig, db) <= before


async def test_a_source_that_takes_the_error_for_an_answer_leaves_no_slot_behind(rig: Rig, db: Database) -> None:
    await spend_all(rig, db)
    async with step_budget(rig.gate(), db, budgets(), {"get": 1}, None, use="first", parks=False) as budget:
        with pytest.raises(ParkError):
            await call(budget, "get")
        assert await rig.promised() == 0


async def test_a_step_that_does_come_back_has_its_slot(rig: Rig, db: Database) -> None:
    await spend_all(rig, db)
    with pytest.raises(ParkError) as parked:
        async with step_budget(rig.gate(), db, budgets(), {"get": 1}, None):
            pytest.fail("granted beyond the budget")
    assert parked.value.slot.startswith("get=")
    assert await rig.promised() == 1
