"""A call is remembered in PostgreSQL before its moment to be sent: a slow database makes it late for no window."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest
from limiter_rig import Rig

from pipeline import eventually
from services.fetcher.budget import budgets_of, step_budget
from services.fetcher.month_meter import Meter
from shared.connector_sdk.spec import RateLimit
from shared.contracts.ids import UserId
from shared.errors import ParkError
from shared.storage.database import Database, open_database

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, role="headrace_fetcher") as opened:
        yield opened


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        yield pool


@asynccontextmanager
async def no_call_can_be_counted(admin: Pool, scope: str) -> AsyncIterator[None]:
    """Whoever counts in this minute or the next has to wait."""
    async with admin.acquire() as connection, connection.transaction():
        await connection.execute(
            "insert into upstream_calls (scope, minute, calls) select $1, date_trunc('minute', now()) + step, 0 "
            "from unnest(array[interval '0', interval '1 minute']) as step",
            scope,
        )
        yield


async def callers_waiting(admin: Pool) -> int:
    found: int = await admin.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    return found


async def test_a_database_that_answers_late_sends_no_call_too_close_to_the_next(
    rig: Rig, db: Database, admin: Pool
) -> None:
    limit, scope = 2, uuid4().hex
    budgets = budgets_of({"get": RateLimit(per_second=limit)}, RateLimit(), scope, "mine")
    sent: list[float] = []

    gate = rig.gate(rig.limiter(margin=0.3))

    async def call(slot: str | None = None) -> None:
        try:
            async with step_budget(gate, db, budgets, {"get": 1}, slot) as budget, budget.concurrency("get"):
                await budget.spend("get")
                sent.append(time.monotonic())
        except ParkError as park:  # on a busy machine: it comes back as a message does
            await asyncio.sleep(park.wait)
            await call(park.slot)

    async with asyncio.TaskGroup() as callers:
        async with no_call_can_be_counted(admin, f"{scope}|get"):
            for _ in range(limit):
                callers.create_task(call())
            await eventually(lambda: callers_waiting(admin), lambda waiting: waiting == limit, within=10)
            await asyncio.sleep(0.9)  # a window's length, nearly: the next ones follow at once
            assert sent == []
        for _ in range(limit):
            callers.create_task(call())

    sent.sort()
    assert len(sent) == 2 * limit
    assert all(later - first >= 1.0 for first, later in zip(sent, sent[limit:], strict=False)), sent


async def test_a_call_that_was_not_sent_after_all_is_not_counted(rig: Rig, db: Database, admin: Pool) -> None:
    scope, source = uuid4().hex, uuid4()
    budgets = budgets_of({"get": RateLimit(per_minute=100, concurrency=1)}, RateLimit(), scope, "mine")
    meter = Meter(source, UserId(uuid4()), "account", "pool", "America/Los_Angeles")

    async def counted() -> tuple[int, int]:
        calls = await admin.fetchval("select sum(calls)::int from upstream_calls where scope = $1", f"{scope}|get")
        reads = await admin.fetchval("select sum(reads)::int from read_meters where source_id = $1", source)
        return calls, reads

    async with (
        step_budget(rig.gate(), db, budgets, {"get": 1}, None, meter=meter) as first,
        first.concurrency("get"),
    ):
        await first.spend("get")
        assert await counted() == (1, 1)
        with pytest.raises(ParkError):
            async with (
                step_budget(rig.gate(), db, budgets, {"get": 1}, None, meter=meter) as second,
                second.concurrency("get"),
            ):
                await second.spend("get")
    assert await counted() == (1, 1)
