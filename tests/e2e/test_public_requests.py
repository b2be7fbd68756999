"""Somebody else's program asks for runs over real RabbitMQ, with the rights that docs/operations.md gives it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed
from public_rig import Place, as_documented, channel_of, publish

from pipeline import FINISHED, Pipeline, eventually, running_pipeline
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from servers.launching import Running
from shared.contracts.ids import SourceId
from shared.messaging.amqp import AmqpBus
from shared.messaging.ports import Message
from shared.messaging.topology import QUEUES


@pytest.fixture(scope="module")
def place(broker: Running) -> Iterator[Place]:
    with as_documented(broker) as made:
        yield made


@pytest.fixture
async def bus(place: Place) -> AsyncIterator[AmqpBus]:
    """Ours, with the rights that the page gives it."""
    ours = AmqpBus(place.ours)
    await ours.start()
    try:
        yield ours
    finally:
        await ours.close()


@pytest.fixture
async def pipeline(bus: AmqpBus, database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Pipeline]:
    async with running_pipeline(database_url, redis_url, redis_prefix, bus=bus) as made:
        yield made


def config(base: str) -> dict[str, Any]:
    return {
        "entities": {
            "inventory": {"url": f"{base}/page/products", "records_path": "items", "id_path": "productID"},
            "vendors": {"url": f"{base}/page/suppliers", "records_path": "items", "id_path": "supplierID"},
        }
    }


def request(pipeline: Pipeline, source_id: SourceId, **fields: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "source_id": str(source_id),
        "user_id": str(pipeline.user_id),
        "trigger": "external",
        "requested_at": datetime(2026, 11, 22, 10, tzinfo=UTC).isoformat(),
        **fields,
    }


async def runs_of(pipeline: Pipeline) -> list[Any]:
    rows: list[Any] = await pipeline.admin.fetch("select id, trigger, mode from sync_runs order by requested_at")
    return rows


async def test_an_outsiders_request_becomes_a_run_and_its_rows_arrive(pipeline: Pipeline, place: Place) -> None:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as base:
        mapping = {"inventory": {"sku": "to_string(productID)", "name": "productName"}}
        source = await pipeline.add_source(config(base), field_mappings=mapping)
        run_id = uuid4()
        wish = request(pipeline, source, run_id=str(run_id), entities=["inventory"], mode="full")

        await publish(place.outsider, json.dumps(wish).encode())
        await eventually(lambda: runs_of(pipeline), bool, within=20)
        run = await pipeline.finish(run_id)

        assert (run.status, run.trigger, run.mode) == ("succeeded", "external", "full"), run
        assert list(run.entities) == ["inventory"]
        assert len(await pipeline.rows("inventory", source)) == run.entities["inventory"].inserted > 0

        await publish(place.outsider, json.dumps(wish).encode())
        later = uuid4()
        await publish(place.outsider, json.dumps(request(pipeline, source, run_id=str(later))).encode())
        await eventually(lambda: runs_of(pipeline), lambda rows: later in {row["id"] for row in rows}, within=20)
        await eventually(lambda: pipeline.view(later), lambda view: view.status in FINISHED, within=30)

    assert [row["id"] for row in await runs_of(pipeline)] == [run_id, later], "the repeated request is no run"


async def test_a_bad_request_is_a_dead_letter_with_its_reason_and_no_run(pipeline: Pipeline, place: Place) -> None:
    mine = await pipeline.add_source(config("http://127.0.0.1:1"))
    strangers = await pipeline.add_source(config("http://127.0.0.1:1"), user_id=uuid4())
    async with running(build_app(JsonApiState.northwind())) as base:
        known = (await pipeline.sync(await pipeline.add_source(config(base)))).id
    theirs = request(pipeline, mine)
    del theirs["user_id"]
    cases = {
        b"{": "sync.requested: not JSON",
        json.dumps(theirs).encode(): "sync.requested: user_id: Field required",
        json.dumps(request(pipeline, mine, force=True)).encode(): "sync.requested: force: Extra inputs",
        json.dumps(request(pipeline, strangers)).encode(): "source_id: no such source for this user",
        json.dumps(request(pipeline, SourceId(uuid4()))).encode(): "source_id: no such source for this user",
        json.dumps(request(pipeline, mine, run_id=str(known))).encode(): "run_id belongs to another source",
        json.dumps(request(pipeline, mine, entities=["purchase_orders"])).encode(): "entities: this source has no",
    }

    for body in cases:
        await publish(place.outsider, body)

    async def letters() -> list[Any]:
        rows: list[Any] = await pipeline.admin.fetch("select * from dead_letters where queue = 'public'")
        return rows

    stored = await eventually(letters, lambda rows: len(rows) == len(cases), within=20)
    reasons = {bytes(row["body"]): row["reason"] for row in stored}
    assert reasons.keys() == cases.keys()
    for body, reason in cases.items():
        assert reasons[body].startswith(reason), reasons[body]
    assert {row["kind"] for row in stored} == {"sync.requested"}
    assert [row["id"] for row in await runs_of(pipeline)] == [known], "a refused request started a run"


Deed = Callable[[AbstractChannel], Awaitable[object]]


def queue(channel: AbstractChannel, name: str) -> Awaitable[aio_pika.abc.AbstractQueue]:
    return channel.get_queue(name, ensure=False)


async def _consume(channel: AbstractChannel, name: str) -> None:
    async def ignore(_message: object) -> None:
        raise AssertionError("an outsider was given a message")

    await (await queue(channel, name)).consume(ignore)


async def _bind(channel: AbstractChannel) -> None:
    await (await queue(channel, "headrace.public.v1")).bind("headrace", "requests")


async def _publish(channel: AbstractChannel, exchange: str, key: str) -> None:
    target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    await target.publish(aio_pika.Message(b"{}"), key)


async def _purge(channel: AbstractChannel) -> None:
    await (await queue(channel, "headrace.public.v1")).purge()


async def _get(channel: AbstractChannel) -> None:
    await (await queue(channel, "headrace.dead.v1")).get(fail=False)


FORBIDDEN: dict[str, Deed] = {
    "declare a queue": lambda channel: channel.declare_queue("headrace.mine.v1", durable=True),
    "declare a queue of its own": lambda channel: channel.declare_queue(exclusive=True),
    "declare an exchange": lambda channel: channel.declare_exchange("headrace.mine", "topic"),
    "delete our queue": lambda channel: channel.queue_delete("headrace.write.v1"),
    "delete our exchange": lambda channel: channel.exchange_delete("headrace.public"),
    "bind": _bind,
    "purge": _purge,
    "consume public": lambda channel: _consume(channel, "headrace.public.v1"),
    "consume the rows": lambda channel: _consume(channel, "headrace.write.v1"),
    "get from the dead": _get,
    "publish inside": lambda channel: _publish(channel, "headrace", "requests"),
    "publish an event": lambda channel: _publish(channel, "headrace.events", ""),
    "publish a delay": lambda channel: _publish(channel, "headrace.delay.1", "requests"),
    "publish past the exchanges": lambda channel: _publish(channel, "", "headrace.requests.v1"),
    "publish to the broker's own": lambda channel: _publish(channel, "amq.topic", "sync.requested"),
    "publish another kind": lambda channel: _publish(channel, "headrace.public", "page.fetch"),
}


async def test_an_outsider_may_do_nothing_else(bus: AmqpBus, place: Place) -> None:
    async def refused(deed: Deed) -> bool:
        try:
            async with asyncio.timeout(10), channel_of(place.outsider) as channel:
                await deed(channel)
        except ChannelClosed as error:
            return "ACCESS_REFUSED" in str(error)
        return False

    allowed = [name for name, deed in FORBIDDEN.items() if not await refused(deed)]

    assert allowed == []
    for name in QUEUES:
        assert await bus.depth(name) == 0, name  # the queues are there, so the names above were right


async def test_an_outsider_sees_how_long_a_queue_is_and_no_more(bus: AmqpBus, place: Place) -> None:
    """RabbitMQ asks for no right to look whether a queue exists; docs/operations.md says so."""
    assert await bus.depth("public") == 0
    async with channel_of(place.outsider) as channel:
        seen = await channel.declare_queue("headrace.public.v1", passive=True)

    assert seen.declaration_result.message_count == 0


async def test_our_own_user_may_do_all_that_the_bus_does(bus: AmqpBus) -> None:
    async def answer() -> None:
        async with bus.subscribe("probe", prefetch=1) as deliveries:
            async for delivery in deliveries:
                await delivery.reply(Message("probe.reply", b"yes"))
                await delivery.ack()

    answering = asyncio.create_task(answer())
    async with bus.listen() as heard:
        assert (await bus.request("probe", Message("probe.requested", b"?"), timeout=5)).body == b"yes"
        await bus.announce(Message("run.changed", b"x"))
        assert (await asyncio.wait_for(anext(aiter(heard)), 5)).body == b"x"
        await bus.publish("fetch", Message("page.fetch", b"{}"), delay=1)
        async with bus.subscribe("fetch", prefetch=1) as deliveries:
            await (await asyncio.wait_for(anext(aiter(deliveries)), 5)).ack()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
