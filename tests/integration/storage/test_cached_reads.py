"""A read that was answered from the cache, even in part, moves no cursor and deletes nothing."""

from datetime import UTC, datetime

import pytest
from core_rig import Core, item

from services.fetcher.harvest import PageHarvest
from shared.connector_sdk.protocol import Page
from shared.contracts.ids import RunId
from shared.storage import runs


async def took(core: Core, run_id: RunId, hits: int) -> None:
    """A step took so many answers from the cache."""
    async with core.databases["fetcher"].for_run(run_id) as (conn, run):
        assert run is not None
        await runs.count_calls(conn, run, "inventory", 1, hits)


@pytest.mark.parametrize("ended", [False, True])
async def test_calls_count_on_the_source_also_when_the_entity_has_ended(core: Core, ended: bool) -> None:
    source = await core.source()
    run = await core.running(source)
    if ended:
        await core.admin.execute("update sync_run_entities set status = 'failed' where run_id = $1", run)

    for hits in (0, 3):
        await took(core, run, hits)

    counters = await core.source_row(source)
    assert counters["last_request_at"] is not None
    assert counters["requests_this_hour"] in (1, 2), "2, unless the hour has just begun"
    assert counters["requests_this_minute"] in (1, 2)
    entity = (await core.view(run)).entities["inventory"]
    assert (entity.status, (await core.view(run)).api_calls) == (("failed", 0) if ended else ("running", 2))


@pytest.mark.parametrize("hits", [0, 1])
async def test_what_it_misses_stays_until_a_read_of_the_vendor_misses_it(core: Core, hits: int) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("b")], newest=datetime(2026, 1, 1, tzinfo=UTC))
    cursors = "select changed_until, last_full_at from sync_cursors where source_id = $1"
    before = await core.admin.fetchrow(cursors, source)

    run = await core.running(source)
    await took(core, run, hits)
    await took(core, run, 0)
    view = await core.read(run, [item("a")], newest=datetime(2026, 1, 2, tzinfo=UTC))

    assert (view.status, view.deleted) == ("succeeded", 0 if hits else 1)
    assert sorted(await core.rows(source)) == (["a", "b"] if hits else ["a"])
    assert (await core.admin.fetchrow(cursors, source) == before) is bool(hits)
    whole = await core.view(run)
    assert (whole.cache_hits, whole.api_calls) == (hits, 2)
    assert await core.admin.fetchval("select cache_hits from sync_runs where id = $1", run) == hits


async def test_deletions_that_such_an_answer_names_are_left_out() -> None:
    harvest = PageHarvest(Page(records=[{"id": 1}], next_cursor=None, bytes=8, deletions=("a",)))
    assert (await harvest.batch(0)).deletions == ["a"]
    harvest.forget_deletions()
    assert ((await harvest.batch(0)).deletions, (await harvest.batch(0)).records) == ([], [{"id": 1}])
