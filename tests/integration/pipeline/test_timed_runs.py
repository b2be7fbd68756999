"""What the clock starts: a realtime source's safety net, and what a read without news leaves behind."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from test_json_api_run import MAPPING

from pipeline import FINISHED, Pipeline, eventually
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running


@pytest.fixture
async def entity() -> AsyncIterator[dict[str, Any]]:
    async with running(build_app(JsonApiState.northwind())) as url:
        yield {
            "url": f"{url}/products",
            "id_path": "productID",
            "by_id_url": f"{url}/products/{{id}}",
            "updated_at_path": "updatedAt",
            "updated_since_param": "updated_since",
        }


async def test_a_realtime_source_is_looked_through_every_15_minutes(pipeline: Pipeline, entity: dict[str, Any]) -> None:
    due = datetime.now(UTC) - timedelta(minutes=16)
    source = await pipeline.add_source(
        {"entities": {"inventory": entity}}, field_mappings=MAPPING, sync_frequency="realtime", next_sync_at=due
    )
    runs = "select status, trigger, targeted from sync_runs where source_id = $1"
    run = await eventually(
        lambda: pipeline.admin.fetchrow(runs, source), lambda row: row and row["status"] in FINISHED, within=15
    )
    assert tuple(run) == ("succeeded", "schedule", False), "a whole run, whatever webhooks ask for"
    upcoming = await pipeline.admin.fetchval("select next_sync_at from external_data_sources where id = $1", source)
    assert upcoming == due + timedelta(minutes=30), "the phase is kept, and a missed tick is not made up for"


async def test_a_read_without_news_is_remembered_though_its_cursor_stays(
    pipeline: Pipeline, entity: dict[str, Any]
) -> None:
    source = await pipeline.add_source({"entities": {"inventory": entity}}, field_mappings=MAPPING)
    await pipeline.sync(source)
    cursor = "select changed_until, read_at, last_full_at from sync_cursors where source_id = $1"
    first = await pipeline.admin.fetchrow(cursor, source)
    # A month ago, in which nothing changed: the next read starts after the newest record.
    later = (
        "update sync_cursors set changed_until = now() + interval '6 minutes', read_at = read_at - interval '31 days'"
    )
    await pipeline.admin.execute(later)
    moved = await pipeline.admin.fetchval("select changed_until from sync_cursors where source_id = $1", source)

    quiet = await pipeline.sync(source)

    second = await pipeline.admin.fetchrow(cursor, source)
    assert first is not None
    assert second is not None
    assert (quiet.status, quiet.entities["inventory"].read) == ("succeeded", 0)
    assert second["read_at"] > first["read_at"]
    assert (second["changed_until"], second["last_full_at"]) == (moved, first["last_full_at"])
