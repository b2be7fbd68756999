"""Runs that want what the vendor has now ask whether what is kept still holds, where the vendor can say so."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cache_world import Shop, drop, entries_of
from test_csv_api_run import MAPPINGS, config
from test_json_api_run import MAPPING

from pipeline import Pipeline
from sandboxes.behaviour.validators import ValidatorMode
from sandboxes.data import northwind_shop
from sandboxes.files.app import build_app as build_files
from sandboxes.files.state import FilesState
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running


@pytest.fixture
async def shop(pipeline: Pipeline) -> AsyncIterator[Shop]:
    state = JsonApiState.northwind()
    state.behaviour.validators = "strong"
    async with running(build_app(state)) as url:
        yield Shop(pipeline, state, url)


def statuses(state: JsonApiState | FilesState) -> list[int]:
    return [arrival.status for arrival in state.arrivals]


@pytest.mark.parametrize("mode", ["strong", "weak"])
async def test_not_modified_is_a_call_and_an_answer_of_now(shop: Shop, mode: ValidatorMode) -> None:
    shop.state.behaviour.validators = mode
    source = await shop.add()
    await shop.sync(source)
    cursor = await shop.cursor(source)

    timed = await shop.sync(source, trigger="schedule")
    assert statuses(shop.state) == [304] * 4
    assert (timed.api_calls, timed.cache_hits, timed.entities["inventory"].unchanged) == (4, 0, 77)
    assert (await shop.cursor(source))["changed_until"] > cursor["changed_until"]
    assert (await shop.sync(source)).cache_hits == 4


async def test_what_changed_comes_whole_and_what_is_gone_is_deleted(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    shop.state.edit("products", 1, unitPrice=99)
    shop.state.remove("products", 77)

    timed = (await shop.sync(source, trigger="schedule")).entities["inventory"]
    assert statuses(shop.state) == [200, 304, 304, 200]
    assert (timed.updated, timed.unchanged, timed.deleted) == (1, 75, 1)


async def test_who_forces_is_sure_to_get_it_whole(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    shop.state.behaviour.validators = "lying"
    shop.state.edit("products", 1, unitPrice=99)

    assert (await shop.sync(source, trigger="schedule")).entities["inventory"].updated == 0
    assert (await shop.sync(source, force=True)).entities["inventory"].updated == 1
    assert statuses(shop.state) == [200] * 4


async def test_a_304_that_names_another_tag_is_not_believed(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    shop.state.behaviour.validators = "confused"
    shop.state.edit("products", 1, unitPrice=99)

    timed = await shop.sync(source, trigger="schedule")
    assert statuses(shop.state) == [304, 200, 304, 304, 304]
    assert (timed.entities["inventory"].updated, timed.api_calls) == (1, 5)


async def test_a_person_after_the_time_is_over_asks_too(shop: Shop, redis_url: str) -> None:
    source = await shop.add()
    await shop.sync(source)
    await drop(redis_url, *await entries_of(redis_url, shop.pipeline.user_id))

    again = await shop.sync(source)
    assert (statuses(shop.state), again.api_calls, again.cache_hits) == ([304] * 4, 4, 0)


async def test_a_changed_source_has_nothing_to_ask_about(shop: Shop) -> None:
    source = await shop.add()
    await shop.sync(source)
    await shop.pipeline.admin.execute(
        "update external_data_sources set cache_secret = gen_random_uuid() where id = $1", source
    )
    assert (await shop.sync(source)).cache_hits == 0
    assert statuses(shop.state) == [200] * 4


async def test_where_a_header_says_how_the_read_goes_on_nobody_asks(shop: Shop) -> None:
    """The one page has not changed, but has another after it by now, whose row a narrower read has brought already."""
    entity: dict[str, Any] = {
        "url": f"{shop.url}/linkheader/products?size=77",
        "id_path": "productID",
        "pagination": {"type": "link"},
        "updated_at_path": "updatedAt",
        "updated_since_param": "updated_since",
    }
    source = await shop.pipeline.add_source({"entities": {"inventory": entity}}, field_mappings=MAPPING)
    assert (await shop.sync(source)).entities["inventory"].inserted == 77
    key = shop.state.add("products", productName="the newest")
    assert (await shop.sync(source, trigger="schedule")).entities["inventory"].inserted == 1

    full = await shop.sync(source, mode="full")
    assert (full.entities["inventory"].read, full.entities["inventory"].deleted) == (78, 0)
    assert str(key) in {row["external_id"] for row in await shop.pipeline.rows("inventory", source)}


@pytest.mark.parametrize("mode", ["strong", "modified"])
async def test_a_file_is_asked_about_by_its_tag_or_by_its_time(pipeline: Pipeline, mode: ValidatorMode) -> None:
    state = FilesState.northwind()
    state.behaviour.validators = mode
    columns: dict[str, Any] = {"source_type": "csv_api", "field_mappings": MAPPINGS}
    async with running(build_files(state)) as url:
        # An hour old: what was changed within this second may change again in it.
        state.files = {
            name: replace(file, modified=file.modified - timedelta(hours=1)) for name, file in state.files.items()
        }
        source = await pipeline.add_source(config(url, "?crlf=1"), **columns)
        assert (await pipeline.sync(source)).status == "succeeded"
        state.behaviour.log.clear()
        timed = await pipeline.sync(source, trigger="schedule")
        assert statuses(state) == [304, 304]
        assert (timed.entities["inventory"].unchanged, timed.entities["vendors"].unchanged) == (77, 29)

        state.put_rows("products.csv", [{**row, "unitsInStock": "1"} for row in northwind_shop.rows("products")])
        state.behaviour.log.clear()
        timed = await pipeline.sync(source, trigger="schedule")
        assert sorted(statuses(state)) == [200, 304]
        assert timed.entities["inventory"].updated > 70
        state.behaviour.log.clear()
        assert ((again := await pipeline.sync(source, force=False)).cache_hits, again.api_calls, statuses(state)) == (
            2,
            0,
            [],
        )
