"""One trace from the request to the rows, over every queue on the way; and nothing at all where none is wanted."""

import subprocess
import sys

import pytest
from gateway_harness import running_gateway
from otlp_collector import attributes, collecting
from test_json_api_run import MAPPING, inventory_config

from pipeline import eventually, running_pipeline
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.config import load
from shared.errors import BackpressureError, DataError, HeadraceError, ParkError, StartupError
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Message
from shared.observability.metrics import Metrics
from shared.observability.secrets import SecretRegistry
from shared.observability.tracing import NoTracing, OtlpTracing, tracing_to
from shared.runtime.consuming import ServiceObserver
from shared.runtime.main import ProcessSettings
from shared.runtime.observed_bus import ObservedBus
from shared.runtime.resources import Resources


async def test_a_request_and_its_run_are_one_trace(database_url: str, redis_url: str, redis_prefix: str) -> None:
    bus = MemoryBus()
    async with running(build_app(JsonApiState.northwind())) as base, collecting() as collector:
        tracing = OtlpTracing(collector.url, "test")
        watched = ObservedBus(bus, Metrics(), SystemClock(), tracing)
        async with (
            running_gateway(database_url, bus=watched, egress_allow="127.0.0.0/8", tracing=tracing) as gateway,
            running_pipeline(
                database_url, redis_url, redis_prefix, bus=bus, ring=gateway.ring, tracing=tracing
            ) as pipeline,
        ):
            user = gateway.user()
            source = await user.add_source(
                config=inventory_config(base), credentials={"type": "none"}, field_mappings=MAPPING
            )
            assert (await user.call("HEAD", f"/api/sources/{source['id']}")).status == 200
            run = await user.post(f"/api/sources/{source['id']}/sync")
            await eventually(
                lambda: user.get(run.headers["location"]),
                lambda seen: seen.body["status"] == "succeeded",
                within=30,
            )
            assert pipeline.databases
        await tracing.close()
    await bus.close()
    spans = collector.spans()
    asked = next(span for span in spans if span.name == "POST /api/sources/{source_id}/sync")
    assert attributes(asked)["http.response.status_code"] == 202
    assert [span.name for span in spans if span.name.startswith("HEAD")] == ["HEAD /api/sources/{source_id}"]
    of_the_run = [span for span in spans if span.trace_id == asked.trace_id]
    names = {span.name for span in of_the_run}
    assert names >= {"process requests", "process fetch", "process transform", "process write", "GET"}, names
    ids = {span.span_id for span in spans}
    assert all(span.parent_span_id in ids for span in of_the_run if span is not asked)
    (call, *_) = [span for span in of_the_run if span.name == "GET"]
    assert attributes(call) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "headrace.source_type": "json_api",
        "http.response.status_code": 200,
    }
    everything = b"".join(collector.bodies)
    assert source["id"].encode() not in everything
    assert b"size=" not in everything


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (ParkError("later", resume_at=1.0, slot="s", wait=9.0), False),
        (BackpressureError("full"), False),
        (DataError("no JSON"), True),
    ],
    ids=["no slot yet", "no room downstream", "a real failure"],
)
async def test_waiting_is_no_failure(error: HeadraceError, failed: bool) -> None:
    async with collecting() as collector:
        tracing = OtlpTracing(collector.url, "test")
        observer = ServiceObserver(
            Resources(MemoryBus(), None, None, SystemClock(), Metrics(), SecretRegistry(), tracing)
        )
        with pytest.raises(type(error)), observer.handling("fetch", [Message("page.fetch", b"{}")]):
            raise error
        await tracing.close()
    (span,) = collector.spans()
    assert (span.status.code == span.status.STATUS_CODE_ERROR) is failed
    assert attributes(span).get("headrace.later") == (None if failed else type(error).__name__)


def test_without_an_endpoint_nothing_is_imported() -> None:
    script = (
        "import sys, shared.runtime.main, services.fetcher.app, services.gateway.app\n"
        "ours = ('opentelemetry.exporter', 'opentelemetry.proto', 'google.protobuf')\n"
        "assert not [name for name in sys.modules if name.startswith(ours)]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    tracing = tracing_to("", "test")
    assert isinstance(tracing, NoTracing)
    assert tracing.traceparent() is None


@pytest.mark.parametrize("address", ["collector:4318", "https://user:secret@collector"], ids=["no scheme", "password"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(StartupError, match="HEADRACE_OTLP_ENDPOINT") as refused:
        load(ProcessSettings, {"HEADRACE_OTLP_ENDPOINT": address})
    assert "secret" not in str(refused.value)


async def test_a_collector_that_is_away_holds_up_nothing() -> None:
    tracing = OtlpTracing("http://127.0.0.1:9", "test")
    with tracing.span("x", "internal"):
        assert tracing.traceparent() is not None
    began = SystemClock().unix()
    await tracing.close()
    assert SystemClock().unix() - began < 4
