"""A run from beginning to end moves what is measured on the way, and a throttling vendor shows."""

from test_json_api_run import MAPPING, inventory_config

from pipeline import Pipeline, eventually
from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running


def value(pipeline: Pipeline, name: str, **labels: str) -> float:
    return pipeline.metrics.registry.get_sample_value(f"headrace_{name}", labels) or 0.0


async def test_every_step_of_a_run_is_measured(pipeline: Pipeline) -> None:
    async with running(build_app(JsonApiState.northwind())) as base:
        source = await pipeline.add_source(inventory_config(base), field_mappings=MAPPING)
        assert (await pipeline.sync(source)).status == "succeeded"
        for queue in ("fetch", "transform", "write"):
            assert value(pipeline, "message_age_seconds_count", queue=queue) > 0, queue
        assert value(pipeline, "upstream_requests_total", source_type="json_api", status_class="2xx") == 4
        assert value(pipeline, "limiter_decisions_total", decision="granted") == 4
        assert value(pipeline, "limiter_wait_seconds_count", source_type="json_api") == 4
        assert value(pipeline, "runs_finished_total", status="succeeded") == 1
        assert value(pipeline, "publish_confirms_total", result="ack") >= 4 + 4 + 4


async def test_a_vendor_that_throttles_shows(pipeline: Pipeline) -> None:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as base:
        source = await pipeline.add_source(inventory_config(base), field_mappings=MAPPING)
        state.behaviour.faults.add(FaultRule(kind="status", status=429, headers={"Retry-After": "60"}, count=1))
        run = await pipeline.ask(source)
        await eventually(lambda: pipeline.view(run), lambda view: view.waiting_on == "rate_limit", within=20)
        assert value(pipeline, "upstream_requests_total", source_type="json_api", status_class="429") == 1
        assert value(pipeline, "limiter_decisions_total", decision="blocked") == 1
