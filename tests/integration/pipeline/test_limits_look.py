"""What administrators see of a budget that is spent, and of an account that its vendor has stopped."""

from gateway_harness import running_gateway
from test_json_api_run import MAPPING, inventory_config

from pipeline import eventually, running_pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.messaging.memory import MemoryBus


async def test_a_spent_budget_and_a_429_show_until_when(database_url: str, redis_url: str, redis_prefix: str) -> None:
    bus, state = MemoryBus(), JsonApiState.northwind()
    async with (
        running(build_app(state)) as base,
        running_gateway(database_url, bus=bus, egress_allow="127.0.0.0/8") as gateway,
        running_pipeline(database_url, redis_url, redis_prefix, bus=bus, ring=gateway.ring) as pipeline,
    ):
        source = await pipeline.add_source(
            inventory_config(base), field_mappings=MAPPING, rate_limit={"per_minute": 2, "concurrency": 1}
        )
        run = await pipeline.ask(source)
        await eventually(lambda: pipeline.view(run), lambda view: view.waiting_on == "rate_limit", within=20)

        (shown,) = (await gateway.administrator().get("/api/ops/limits")).body["items"]

        assert shown["last_hour"] == 2
        assert shown["limiter"] == {
            "windows": [{"limit": 2, "seconds": 60, "used": 2, "remaining": 0}],
            "concurrency": 1,
            "in_flight": 0,
            "waiting": 1,
            "blocked_until": None,
        }
        state.behaviour.faults.set(FaultRule(kind="status", status=429, headers={"Retry-After": "60"}))
        other = await pipeline.add_source(
            inventory_config(base), {"type": "bearer", "token": "t"}, rate_limit={"per_minute": 9}
        )
        stopped = await pipeline.ask(other)
        await eventually(lambda: pipeline.view(stopped), lambda view: view.waiting_on == "rate_limit", within=20)
        items = (await gateway.administrator().get("/api/ops/limits")).body["items"]
        assert [bool(each["limiter"]["blocked_until"]) for each in items if each["scope"] != shown["scope"]] == [True]
    await bus.close()
