"""The gateway while RabbitMQ is stopped: it answers, it accepts, and nothing that it accepted is lost."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from gateway_harness import Gateway, User, running_gateway

from pipeline import Pipeline, eventually, running_pipeline
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from servers.launching import ServerUnavailableError
from servers.rabbitmq import Broker, stoppable
from shared.messaging.amqp import AmqpBus

SECONDS = 1.0
"""Within which the gateway answers, whatever the broker does."""
MAPPING = {"inventory": {"sku": "to_string(productID)", "name": "productName"}}


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    """One of this test's own: others must not lose theirs."""
    try:
        started = await asyncio.to_thread(stoppable)
    except ServerUnavailableError as error:
        pytest.fail(f"no server: {error}", pytrace=False)
    yield started
    await asyncio.to_thread(started.end)


@pytest.fixture
async def system(
    broker: Broker, database_url: str, redis_url: str, redis_prefix: str
) -> AsyncIterator[tuple[Gateway, Pipeline]]:
    """Each with its own connection to the broker, as processes have."""
    mine, theirs = AmqpBus(broker.url, name="gateway"), AmqpBus(broker.url, name="services")
    await asyncio.gather(mine.start(), theirs.start())
    try:
        async with (
            running_gateway(database_url, bus=mine, probe_timeout=5.0) as gateway,
            running_pipeline(database_url, redis_url, redis_prefix, bus=theirs, ring=gateway.ring) as pipeline,
        ):
            yield gateway, pipeline
    finally:
        await asyncio.gather(mine.close(), theirs.close())


async def hurried(user: User, method: str, path: str, body: object = None) -> dict[str, str]:
    """The answer's body, which came in time and is no error."""
    began = time.monotonic()
    answer = await user.call(method, path, body)
    took = time.monotonic() - began
    assert answer.status < 300, answer.text
    assert took < SECONDS, f"{method} {path} took {took:.2f} s"
    return dict(answer.body)


@pytest.mark.parametrize("way", ["stopped", "frozen"])
async def test_a_sync_is_accepted_at_once_and_runs_when_the_broker_is_back(
    broker: Broker, system: tuple[Gateway, Pipeline], way: str
) -> None:
    gateway, pipeline = system
    user = gateway.user()
    async with running(build_app(JsonApiState.northwind())) as base:
        entity = {"url": f"{base}/page/products", "records_path": "items", "id_path": "productID"}
        source = await user.add_source(
            config={"entities": {"inventory": entity}}, credentials={"type": "none"}, field_mappings=MAPPING
        )
        await asyncio.to_thread(broker.stop if way == "stopped" else broker.freeze)
        try:
            if way == "stopped":
                await eventually(gateway.deps.bus.ready, lambda ready: not ready, within=10)
            run_id = (await hurried(user, "POST", f"/api/sources/{source['id']}/sync"))["run_id"]
            assert (await hurried(user, "GET", f"/api/runs/{run_id}"))["status"] == "queued"
            await hurried(user, "GET", "/api/sources")
            await hurried(user, "PATCH", f"/api/sources/{source['id']}", {"display_name": "renamed meanwhile"})
            assert (await gateway.call("GET", "/healthz")).status == 200
        finally:
            await asyncio.to_thread(broker.start if way == "stopped" else broker.thaw)

        async def state() -> dict[str, str]:
            return dict((await user.get(f"/api/runs/{run_id}")).body)

        run = await eventually(state, lambda run: run["status"] not in ("queued", "running"), within=60)
    assert run["status"] == "succeeded", run
    assert len(await pipeline.rows("inventory")) == 77
