"""Connection tests: what the fetcher is handed, and what becomes of its answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from gateway_harness import CONFIG, CREDENTIALS, Gateway, User, running_gateway

from services.gateway.turns import MOST_WAITING, PROBES_AT_ONCE
from shared.contracts.ids import SourceId, UserId
from shared.contracts.messages import EntityProbe, ProbeReply, ProbeRequested, decode, encode
from shared.messaging.ports import Delivery, Message
from shared.sealing.boxes import Context

ASKED = {"source_type": "json_api", "config": CONFIG, "credentials": CREDENTIALS}
REPLY = ProbeReply(ok=True, message="fine", latency_ms=12, entities={"inventory": EntityProbe(ok=True, sample_count=3)})
Seen = list[tuple[ProbeRequested, Any]]


@asynccontextmanager
async def fetcher(gateway: Gateway, reply: Callable[[], Message]) -> AsyncIterator[Seen]:
    """Answers tests, and keeps what it was asked with the probe's row."""
    seen: Seen = []

    async def answer() -> None:
        async with gateway.bus.subscribe("probe", prefetch=1) as subscription:
            async for delivery in subscription:
                request = decode(ProbeRequested, delivery.message.body)
                row = await gateway.admin.fetchrow("select * from connection_probes where id = $1", request.probe_id)
                seen.append((request, row))
                await delivery.reply(reply())
                await delivery.ack()

    task = asyncio.create_task(answer())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def fine() -> Message:
    return Message(ProbeReply.KIND, encode(REPLY))


async def probes_left(admin: "asyncpg.Pool[asyncpg.Record]") -> int:
    return int(await admin.fetchval("select count(*) from connection_probes"))


async def test_an_unsaved_source_is_tried_with_its_secrets_sealed(gateway: Gateway, user: User) -> None:
    async with fetcher(gateway, fine) as seen:
        answer = await user.post("/api/connectors/test", ASKED)
    assert answer.status == 200
    assert answer.body == {
        "ok": True, "category": None, "message": "fine", "hint": None, "latency_ms": 12,
        "entities": {"inventory": {"ok": True, "sample_count": 3, "message": None}},
    }  # fmt: skip
    ((request, row),) = seen
    assert (request.source_id, row["source_id"], row["source_type"]) == (None, None, "json_api")
    context = Context(UserId(user.id), SourceId(request.probe_id), ("https://stock.example.com:443",))
    assert json.loads(gateway.ring.open(json.loads(row["credentials"]), context)) == CREDENTIALS
    assert await probes_left(gateway.admin) == 0


async def test_a_stored_source_is_tried_with_its_own_credentials(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    async with fetcher(gateway, fine) as seen:
        answer = await user.post(f"/api/sources/{source['id']}/test")
    assert (answer.status, answer.body["ok"]) == (200, True)
    ((request, row),) = seen
    assert request.source_id == row["source_id"] == UUID(source["id"])
    assert row["credentials"] is None
    assert json.loads(row["config"]) == CONFIG
    assert await probes_left(gateway.admin) == 0


async def test_what_is_wrong_with_the_configuration_is_the_result(user: User) -> None:
    for change in ({"config": {}}, {"credentials": {"type": "bearer"}}, {"source_type": "none"}):
        answer = await user.post("/api/connectors/test", ASKED | change)
        assert (answer.status, answer.body["ok"], answer.body["category"]) == (200, False, "CONFIG_ERROR")
        assert answer.body["message"]
    assert (await user.post("/api/connectors/test", {"source_type": "json_api"})).status == 422


async def test_a_failed_test_is_a_200_that_says_so(gateway: Gateway, user: User) -> None:
    refused = ProbeReply(ok=False, category="AUTH_FAILED", message="refused", hint="Enter the key again.", latency_ms=1)
    async with fetcher(gateway, lambda: Message(ProbeReply.KIND, encode(refused))):
        answer = await user.post("/api/connectors/test", ASKED)
    assert (answer.status, answer.body["ok"], answer.body["category"]) == (200, False, "AUTH_FAILED")


async def test_an_answer_that_is_none_is_an_internal_error(gateway: Gateway, user: User) -> None:
    async with fetcher(gateway, lambda: Message(ProbeReply.KIND, b"?")):
        answer = await user.post("/api/connectors/test", ASKED)
    assert (answer.status, answer.body["ok"], answer.body["category"]) == (200, False, "INTERNAL_ERROR")


async def test_a_queue_that_is_away_is_a_503(gateway: Gateway, user: User) -> None:
    gateway.bus.faults.away = True
    answer = await user.post("/api/connectors/test", ASKED)
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.body["category"], bool(answer.body["hint"])) == ("NETWORK_ERROR", True)
    assert await probes_left(gateway.admin) == 0


async def test_nobody_answering_in_time_is_a_result(database_url: str) -> None:
    async with running_gateway(database_url, probe_timeout=0.2) as gateway:
        answer = await gateway.user().post("/api/connectors/test", ASKED)
        assert (answer.status, answer.body["ok"], answer.body["category"]) == (200, False, "NETWORK_ERROR")
        assert await probes_left(gateway.admin) == 0


async def test_a_source_of_another_user_is_not_tried(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    stranger = gateway.user()
    async with fetcher(gateway, fine) as seen:
        assert (await stranger.post(f"/api/sources/{source['id']}/test")).status == 404
    assert seen == []


async def test_one_user_with_many_slow_sources_leaves_others_their_tests(
    gateway: Gateway, user: User, stranger: User
) -> None:
    held: list[Delivery] = []
    async with gateway.bus.subscribe("probe", prefetch=6) as subscription:
        arriving = aiter(subscription)
        asked = [asyncio.create_task(user.post("/api/connectors/test", ASKED)) for _ in range(PROBES_AT_ONCE + 1)]
        try:
            async with asyncio.timeout(10):
                while len(held) < PROBES_AT_ONCE:
                    held.append(await anext(arriving))
                other = asyncio.create_task(stranger.post("/api/connectors/test", ASKED))
                held.append(await anext(arriving))
            rows = [decode(ProbeRequested, each.message.body).probe_id for each in held]
            owners = await gateway.admin.fetch("select user_id from connection_probes where id = any($1)", rows)
            assert sorted(str(row["user_id"]) for row in owners) == sorted([str(user.id)] * 3 + [str(stranger.id)])
            async with asyncio.timeout(10):
                for number in range(len(asked) + 1):
                    each = held[number] if number < len(held) else await anext(arriving)
                    await each.reply(fine())
                    await each.ack()
                assert (await other).body["ok"] is True
                assert [(await one).body["ok"] for one in asked] == [True] * len(asked)
        finally:
            await asyncio.gather(*asked, return_exceptions=True)


async def test_whoever_waits_for_too_many_turns_is_told_at_once(gateway: Gateway, user: User, stranger: User) -> None:
    turns, ours = gateway.deps.probe_turns, UserId(user.id)
    go = asyncio.Event()

    async def hold() -> bool:
        async with turns.turn(ours, 60.0) as mine:
            await go.wait()
            return mine

    async with asyncio.timeout(10):
        held = [asyncio.create_task(hold()) for _ in range(PROBES_AT_ONCE + MOST_WAITING)]
        await asyncio.sleep(0)  # each has asked for its turn
        answer = await user.post("/api/connectors/test", ASKED)
        assert (answer.status, answer.body["ok"], answer.body["category"]) == (200, False, "RATE_LIMITED")
        async with turns.turn(UserId(stranger.id), 60.0) as others:
            assert others, "another user's turn waits for nobody"
        go.set()
        assert all(await asyncio.gather(*held))
        async with turns.turn(ours, 60.0) as mine:
            assert mine


async def test_a_turn_that_does_not_come_in_time_is_told(database_url: str) -> None:
    async with running_gateway(database_url, probe_timeout=0.3) as gateway, AsyncExitStack() as busy:
        user = gateway.user()
        for _ in range(PROBES_AT_ONCE):
            assert await busy.enter_async_context(gateway.deps.probe_turns.turn(UserId(user.id), 1.0))
        answer = await user.post("/api/connectors/test", ASKED)
        assert (answer.status, answer.body["ok"], answer.body["category"]) == (200, False, "RATE_LIMITED")
        assert answer.body["hint"]
        await busy.aclose()
        answer = await user.post("/api/connectors/test", ASKED)
        assert answer.body["category"] == "NETWORK_ERROR", "the turns came back, though no fetcher did"
        assert await probes_left(gateway.admin) == 0
