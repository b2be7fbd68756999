"""Tests and previews of a stored source are answered from what is kept, and no run is answered by what they kept."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from cache_world import Shop

from pipeline import Pipeline, eventually
from sandboxes.behaviour.auth import Auth
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.contracts.ids import SourceId
from shared.contracts.messages import ProbeReply, ProbeRequested, SampleReply, SampleRequested, decode, encode
from shared.messaging.ports import Message
from shared.sealing.boxes import Context
from shared.storage import probes


@pytest.fixture
async def shop(pipeline: Pipeline) -> AsyncIterator[Shop]:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as url:
        yield Shop(pipeline, state, url)


async def row(shop: Shop, source: SourceId, *, stored: bool = True) -> UUID:
    """What the gateway leaves for the fetcher."""
    probe_id, owner = uuid4(), shop.pipeline.user_id
    config = json.loads(
        await shop.pipeline.admin.fetchval("select config from external_data_sources where id = $1", source)
    )
    async with shop.pipeline.databases["gateway"].for_tenant(owner) as conn:
        if stored:
            await probes.insert_stored(conn, probe_id, owner, "json_api", config, source)
        else:
            context = Context(owner, SourceId(probe_id), shop.pipeline.registry.get("json_api").spec.origins(config))
            box = shop.pipeline.ring.public().seal(b'{"type": "none"}', context)
            await probes.insert_unsaved(conn, probe_id, owner, "json_api", config, dict(box))
    shop.state.behaviour.log.clear()
    return probe_id


async def tried(shop: Shop, source: SourceId, *, stored: bool = True) -> ProbeReply:
    asked = ProbeRequested(probe_id=await row(shop, source, stored=stored), source_id=source if stored else None)
    reply = await shop.pipeline.bus.request("probe", Message(ProbeRequested.KIND, encode(asked)), timeout=20)
    return decode(ProbeReply, reply.body)


async def sampled(shop: Shop, source: SourceId) -> SampleReply:
    asked = SampleRequested(probe_id=await row(shop, source), entity="inventory", size=3)
    reply = await shop.pipeline.bus.request("probe", Message(SampleRequested.KIND, encode(asked)), timeout=20)
    return decode(SampleReply, reply.body)


async def test_a_second_test_costs_no_call_and_says_so(shop: Shop) -> None:
    source = await shop.add()
    first = await tried(shop, source)
    assert (first.ok, shop.calls, first.message) == (True, 1, "The source answers.")
    again = await tried(shop, source)
    assert (again.ok, shop.calls) == (True, 0)
    assert "nothing was called now" in again.message
    assert again.entities == first.entities
    assert ((await sampled(shop, source)).ok, shop.calls) == (True, 0)


async def test_what_a_test_kept_does_not_stand_for_a_runs_read(shop: Shop) -> None:
    source = await shop.add()
    await tried(shop, source)
    assert ((first := await shop.sync(source)).api_calls, first.cache_hits) == (4, 0)
    assert await shop.cursor(source) is not None
    assert ((await tried(shop, source)).ok, shop.calls) == (True, 0)


async def test_after_a_run_that_failed_a_test_is_a_call_until_one_succeeds(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    shop.state.behaviour.auth = Auth(kind="bearer", secrets={"another": "account"})
    failed = await shop.sync(source, trigger="schedule")
    assert failed.error is not None
    assert failed.error.category == "AUTH_FAILED"
    for _ in range(2):
        assert ((found := await tried(shop, source)).ok, found.category, shop.calls) == (False, "AUTH_FAILED", 1)
    assert (await sampled(shop, source)).category == "AUTH_FAILED"

    shop.state.behaviour.auth = Auth()
    assert ((await tried(shop, source)).ok, shop.calls) == (True, 1)
    assert (await shop.sync(source)).status == "succeeded"
    assert ((await tried(shop, source)).ok, shop.calls) == (True, 0)


async def test_of_what_is_not_saved_nothing_is_kept(shop: Shop) -> None:
    source = await shop.add()
    for _ in range(2):
        assert ((await tried(shop, source, stored=False)).ok, shop.calls) == (True, 1)


async def test_a_source_that_keeps_nothing_is_called_each_time(shop: Shop) -> None:
    source = await shop.add(cache_ttl_seconds=0)
    for _ in range(2):
        assert ((await tried(shop, source)).ok, shop.calls) == (True, 1)


async def test_tests_and_previews_on_a_spent_budget_let_no_run_wait_longer(shop: Shop) -> None:
    source = await shop.add(cache_ttl_seconds=0, rate_limit={"per_minute": 1})
    assert (await tried(shop, source)).ok
    for _ in range(3):
        replies = [await tried(shop, source), await sampled(shop, source)]
        assert [(reply.ok, reply.category) for reply in replies] == [(False, "RATE_LIMITED")] * 2
    run_id = await shop.pipeline.ask(source)
    run = await eventually(lambda: shop.pipeline.view(run_id), lambda view: view.waiting_on == "rate_limit", within=20)
    assert run.resume_at is not None
    assert run.resume_at - datetime.now(UTC) < timedelta(seconds=62)
