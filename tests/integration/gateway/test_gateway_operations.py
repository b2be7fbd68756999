"""What administrators see of the deployment."""

from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from gateway_harness import CREDENTIALS, Gateway, User

from shared.messaging.topology import QUEUES
from shared.storage.database import open_database
from shared.storage.upstream_calls import add_calls


@pytest.fixture
def admin(gateway: Gateway) -> User:
    return gateway.administrator()


async def items(who: User, name: str) -> list[dict[str, Any]]:
    answer = await who.get(f"/api/ops/{name}")
    assert answer.status == 200, answer.text
    assert set(answer.body) == {"items", "next_cursor"}
    return list(answer.body["items"])


async def test_only_administrators(gateway: Gateway, user: User) -> None:
    for name in ("queues", "workers", "limits", "keys"):
        assert (await user.get(f"/api/ops/{name}")).status == 403
        assert (await gateway.call("GET", f"/api/ops/{name}")).status == 401


async def test_queues_and_the_outbox(gateway: Gateway, user: User, admin: User) -> None:
    source = await user.add_source()
    await user.post(f"/api/sources/{source['id']}/sync")
    async with gateway.bus.subscribe("fetch", prefetch=1):
        shown = {each["queue"]: (each["ready"], each["consumers"]) for each in await items(admin, "queues")}
    assert list(shown) == [*QUEUES, "outbox"]
    assert (shown["requests"], shown["fetch"], shown["outbox"]) == ((1, 0), (0, 1), (0, None))

    gateway.bus.faults.away = True  # what waits for the broker is then what one wants to see
    other = await user.add_source()
    await user.post(f"/api/sources/{other['id']}/sync")
    shown = {each["queue"]: each["ready"] for each in await items(admin, "queues")}
    assert (shown["requests"], shown["outbox"]) == (None, 1)
    assert (await items(admin, "queues"))[-1]["oldest_seconds"] >= 0
    assert (await admin.get("/api/ops/workers")).status == 503


async def test_workers_are_those_attached(gateway: Gateway, admin: User) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(gateway.bus.subscribe("write", prefetch=1))
        alive = {each["service"]: each["alive"] for each in await items(admin, "workers")}
    assert alive == {"scheduler": 0, "fetcher": 0, "transformer": 0, "writer": 2}


async def test_limits_tell_the_calls_of_every_account(gateway: Gateway, database_url: str, admin: User) -> None:
    async with open_database(database_url, role="headrace_fetcher") as fetcher:
        for scope, calls in (("finale_inventory|acme|default", 2), ("finale_inventory|acme|default", 3), ("other", 1)):
            async with fetcher.transaction() as conn:
                await add_calls(conn, scope, calls)
    await gateway.admin.execute(
        "insert into upstream_calls values ('other', date_trunc('minute', now()) - interval '59 minutes', 7), "
        "('long ago', date_trunc('minute', now()) - interval '61 minutes', 9)"
    )
    shown = await items(admin, "limits")
    assert [(each["scope"], each["last_hour"]) for each in shown] == [
        ("finale_inventory|acme|default", 5),
        ("other", 8),
    ]
    async with gateway.deps.database.transaction() as conn:
        assert await conn.fetchval("select count(*) from upstream_calls") == 0, "for administrators alone"


async def test_keys_by_name_and_never_by_content(gateway: Gateway, user: User, admin: User) -> None:
    assert await items(admin, "keys") == [
        {"kid": "test", "boxes": 0, "tokens": 0, "current": True, "first_seen_at": None}
    ]
    await user.add_source()
    await gateway.admin.execute("insert into sealing_keys (kid, public_key) values ('older', $1)", bytes(32))
    older, current = await items(admin, "keys")
    assert (older["kid"], older["boxes"], older["current"]) == ("older", 0, False)
    assert older["first_seen_at"].endswith("Z")
    assert (current["kid"], current["boxes"], current["current"]) == ("test", 1, True)
    await gateway.admin.execute(
        "insert into oauth_grants (id, user_id, tokens) values ($1, $1, $2)", uuid4(), '{"kid": "older"}'
    )
    assert [key["tokens"] for key in await items(admin, "keys")] == [1, 0]
    text = (await admin.get("/api/ops/keys")).text
    assert CREDENTIALS["token"] not in text
    assert gateway.ring.public().to_text().partition(":")[2] not in text
