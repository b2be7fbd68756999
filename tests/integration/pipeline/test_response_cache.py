"""The response cache in a running system: who is answered from it, and what such a run may not do."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from cache_world import Shop, drop, entries_of
from redis.asyncio import Redis
from webhook_events import keep_events

from pipeline import Pipeline, eventually
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.runtime.dispatch import dispatch
from shared.storage import sources
from shared.storage.runs import RunAsk, request_run
from shared.storage.webhooks import Change


@pytest.fixture
async def shop(pipeline: Pipeline) -> AsyncIterator[Shop]:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as url:
        yield Shop(pipeline, state, url)


async def test_a_person_who_syncs_again_is_answered_without_a_call(shop: Shop) -> None:
    source = await shop.add()
    first = await shop.sync(source)
    assert (first.api_calls, first.cache_hits, shop.calls) == (4, 0, 4)
    cursor = await shop.cursor(source)
    shop.state.edit("products", 1, unitPrice=99)
    shop.state.remove("products", 77)

    again = await shop.sync(source)
    assert (again.status, again.api_calls, again.cache_hits, shop.calls) == ("succeeded", 0, 4, 0)
    of = again.entities["inventory"]
    assert (of.read, of.unchanged, of.deleted) == (77, 77, 0)
    assert await shop.cursor(source) == cursor

    forced = await shop.sync(source, force=True)
    assert (forced.api_calls, forced.cache_hits, shop.calls) == (4, 0, 4)
    assert (forced.entities["inventory"].updated, forced.entities["inventory"].deleted) == (1, 1)
    assert await shop.price(source, "1") == "99"


async def test_a_timer_passes_it_by_and_refreshes_it(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    shop.state.edit("products", 1, unitPrice=99)

    timed = await shop.sync(source, trigger="schedule")
    assert (timed.api_calls, timed.cache_hits, timed.entities["inventory"].updated) == (4, 0, 1)
    assert (await shop.sync(source)).cache_hits == 4
    assert await shop.price(source, "1") == "99"


async def test_what_a_later_run_wrote_is_not_overwritten_by_an_older_answer(shop: Shop) -> None:
    source = await shop.add(incremental=True)
    await shop.sync(source)  # in full
    shop.state.edit("products", 1, unitPrice=99)
    assert (await shop.sync(source, trigger="schedule")).entities["inventory"].updated == 1

    full = await shop.sync(source, mode="full")
    assert (full.cache_hits, full.api_calls) == (0, 4)
    assert await shop.price(source, "1") == "99"


async def test_after_a_run_that_failed_before_its_first_call_the_vendor_is_called(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    run = await shop.sync(source, force=True)
    await shop.pipeline.admin.execute("alter table sync_run_entities disable trigger status_step")
    await shop.pipeline.admin.execute(
        "update sync_run_entities set status = 'failed', api_calls = 0 where run_id = $1", run.id
    )

    again = await shop.sync(source)
    assert (again.cache_hits, again.api_calls) == (0, 4)


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_answers_of_a_run_that_came_to_nothing_are_not_used(shop: Shop, ending: str) -> None:
    source = await shop.add()
    run = await shop.sync(source)
    await shop.pipeline.admin.execute("alter table sync_run_entities disable trigger status_step")
    await shop.pipeline.admin.execute("update sync_run_entities set status = $2 where run_id = $1", run.id, ending)

    again = await shop.sync(source)
    assert (again.cache_hits, again.api_calls) == (0, 4)


async def test_a_run_that_answers_a_webhook_reads_anew(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    shop.state.edit("products", 1, unitPrice=99)
    changes = [Change("inventory", "1", "upsert")]
    await keep_events(shop.pipeline.databases["gateway"], source, shop.pipeline.user_id, changes)

    assert (await shop.sync(source)).entities["inventory"].updated == 1


async def test_who_keeps_nothing_is_asked_each_time(shop: Shop) -> None:
    source = await shop.add(cache_ttl_seconds=0)
    await shop.sync(source)
    assert ((again := await shop.sync(source)).cache_hits, again.api_calls) == (0, 4)


async def test_after_the_first_page_that_is_read_anew_no_older_one_follows(shop: Shop, redis_url: str) -> None:
    seen = set()
    for lost in range(4):
        source = await shop.add()
        await shop.sync(source)
        pages = [arrival.path for arrival in shop.state.arrivals]
        entries = [key for key in await entries_of(redis_url, shop.pipeline.user_id) if key not in seen]
        seen |= {*entries}
        await drop(redis_url, entries[lost])  # which page it is the key does not tell

        again = await shop.sync(source)
        assert (again.status, again.cache_hits + again.api_calls) == ("succeeded", 4)
        assert [arrival.path for arrival in shop.state.arrivals] == pages[again.cache_hits :]


async def test_of_a_spent_budget_a_timers_run_makes_do_with_what_is_kept(shop: Shop) -> None:
    source = await shop.add(rate_limit={"per_minute": 4})
    await shop.sync(source)

    timed = await shop.sync(source, trigger="schedule", within=10)
    assert (timed.status, timed.api_calls, timed.cache_hits, shop.calls) == ("succeeded", 0, 4, 0)

    forced = await shop.pipeline.ask(source, force=True)
    waits = await eventually(lambda: shop.pipeline.view(forced), lambda run: run.waiting_on is not None, within=10)
    assert waits.waiting_on == "rate_limit"
    # The slots that the timer's run could have had are not lost: this one waits for the first window alone.
    assert waits.resume_at < waits.requested_at + timedelta(seconds=65)


async def test_a_read_that_has_begun_anew_waits_for_its_slot(shop: Shop) -> None:
    source = await shop.add(rate_limit={"per_minute": 6})
    await shop.sync(source)

    timed = await shop.pipeline.ask(source, trigger="schedule")
    waits = await eventually(lambda: shop.pipeline.view(timed), lambda run: run.waiting_on is not None, within=10)
    assert (waits.waiting_on, waits.api_calls, waits.cache_hits) == ("rate_limit", 2, 0)


async def test_a_timer_that_joins_a_persons_queued_run_is_owed_what_is_there_now(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    ask = RunAsk(source, shop.pipeline.user_id, "json_api", ("inventory",), "manual")
    async with shop.pipeline.databases["gateway"].for_tenant(shop.pipeline.user_id) as conn:
        run = await request_run(conn, ask, merge=False)
        joined = await request_run(conn, replace(ask, trigger="schedule"), merge=True)
        assert joined.run_id == run.run_id
    shop.state.behaviour.log.clear()
    await dispatch(shop.pipeline.databases["gateway"], shop.pipeline.bus, run.outbox_ids)

    assert ((ended := await shop.pipeline.finish(run.run_id)).cache_hits, ended.api_calls) == (0, 4)


async def test_what_is_kept_tells_nothing_and_goes_with_its_time(shop: Shop, redis_url: str) -> None:
    source = await shop.add(cache_ttl_seconds=600)
    await shop.sync(source)

    entries = await entries_of(redis_url, shop.pipeline.user_id)
    assert len(entries) == 4
    form = re.compile(f"connector:json_api:{shop.pipeline.user_id}:GET:[0-9a-f]{{32}}")
    assert all(form.fullmatch(key) for key in entries)
    for value in entries.values():
        assert b"Chai" not in value
        assert b"127.0.0.1" not in value
        assert b"productID" not in value
    async with Redis.from_url(redis_url) as redis:
        lives = [await redis.ttl(key) for key in entries]
    assert all(590 < life <= 600 for life in lives)


async def test_it_is_purged_with_the_source_and_cannot_be_opened_before_that(shop: Shop, redis_url: str) -> None:
    source, other = await shop.add(), await shop.add()
    await shop.sync(source)
    await shop.sync(other)
    secret = "select cache_secret from external_data_sources where id = $1"
    before = await shop.pipeline.admin.fetchval(secret, source)
    async with shop.pipeline.databases["gateway"].for_tenant(shop.pipeline.user_id) as conn:
        await sources.erase_source(conn, source)
    assert await shop.pipeline.admin.fetchval(secret, source) != before

    await eventually(lambda: entries_of(redis_url, shop.pipeline.user_id), lambda kept: len(kept) == 4, within=10)
    assert await shop.pipeline.admin.fetchval("select count(*) from cache_purges") == 0
    assert (await shop.sync(other)).cache_hits == 4
