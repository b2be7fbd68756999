"""Hundreds of webhooks a second beside running syncs: none is lost, each is answered soon, many become few runs."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import Gateway, User, running_gateway

from pipeline import eventually, running_pipeline
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.messaging.memory import MemoryBus

STORM = Path(__file__).with_name("webhook_storm.py")
SOURCES = 3


async def blown(gateway: Gateway, secrets: dict[str, str], rate: int, seconds: int) -> dict[str, Any]:
    """What the storm says of its posts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, STORM, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    asked = {"url": gateway.url, "secrets": secrets, "rate": rate, "seconds": seconds}
    out, _ = await asyncio.wait_for(process.communicate(json.dumps(asked).encode()), seconds + 60)
    assert process.returncode == 0
    return dict(json.loads(out))


async def weathered(gateway: Gateway, rate: int, seconds: int) -> dict[str, Any]:
    """The storm over sources that are synced meanwhile; its figures, after all that must hold at any rate was seen."""
    user = gateway.user()
    async with running(build_app(JsonApiState.northwind())) as base:
        entity = {"url": f"{base}/page/products", "records_path": "items", "id_path": "productID"}
        mapping = {"inventory": {"name": "productName", "quantity_on_hand": "unitsInStock"}}
        made = [
            await user.add_source(
                config={"entities": {"inventory": entity}}, credentials={"type": "none"}, field_mappings=mapping
            )
            for _ in range(SOURCES)
        ]
        secrets = {
            source["id"]: (await user.post(f"/api/sources/{source['id']}/webhook-secret")).body["secret"]
            for source in made
        }
        await user.post("/api/external/sync")
        found = await blown(gateway, secrets, rate, seconds)
        assert found["statuses"] == {"202": rate * seconds}, found
        kept = await gateway.admin.fetch("select external_id from webhook_events")
        assert sorted(row["external_id"] for row in kept) == sorted(found["taken"])
        runs = await eventually(lambda: ended(user), bool, within=60)
        assert await gateway.admin.fetchval("select count(*) from webhook_events where run_id is null") == 0
    assert {run["status"] for run in runs} == {"succeeded"}
    assert len(runs) <= SOURCES * (seconds / 0.3 + 3), "not coalesced"
    assert len(runs) < rate * seconds / 4
    return found | {"runs": len(runs)}


async def ended(user: User) -> list[dict[str, Any]]:
    """All runs, once none is under way and every event is with one of them."""
    runs: list[dict[str, Any]] = (await user.get("/api/runs?limit=500")).body["items"]
    waiting = await user.gateway.admin.fetchval("select count(*) from webhook_events where run_id is null")
    return [] if waiting or any(run["status"] in ("queued", "running") for run in runs) else runs


@pytest.mark.timeout(120)
async def test_a_small_storm_loses_nothing(database_url: str, redis_url: str, redis_prefix: str) -> None:
    bus = MemoryBus()
    async with (
        running_gateway(database_url, bus=bus) as gateway,
        running_pipeline(database_url, redis_url, redis_prefix, bus=bus, ring=gateway.ring),
    ):
        found = await weathered(gateway, rate=50, seconds=3)
    await bus.close()
    assert found["latency"]["p99"] < 3


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_three_hundred_a_second_are_answered_soon(database_url: str, redis_url: str, redis_prefix: str) -> None:
    bus = MemoryBus()
    async with (
        running_gateway(database_url, bus=bus) as gateway,
        running_pipeline(database_url, redis_url, redis_prefix, bus=bus, ring=gateway.ring),
    ):
        found = await weathered(gateway, rate=300, seconds=10)
    await bus.close()
    print({name: each for name, each in found.items() if name != "taken"})
    assert found["latency"]["p99"] < 0.3, found["latency"]
