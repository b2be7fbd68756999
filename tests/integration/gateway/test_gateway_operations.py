"""What administrators see of the deployment."""

from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from gateway_harness import CREDENTIALS, Gateway, User

from services.scheduler.retention import forget
from shared.messaging.topology import QUEUES
from shared.storage.database import open_database
from shared.storage.read_meters import count_reads
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


async def test_reads_of_the_month_by_account_by_app_and_on_the_source(
    gateway: Gateway, database_url: str, user: User, admin: User
) -> None:
    source = await user.add_source()
    one, two, app = "quickbooks|https://books|1", "quickbooks|https://books|2", "quickbooks|the app"
    async with open_database(database_url, role="headrace_fetcher") as fetcher:
        for made_by, account in ((UUID(source["id"]), one), (uuid4(), one), (UUID(source["id"]), two)):
            async with fetcher.for_tenant(user.id) as conn:
                await count_reads(conn, made_by, user.id, account, app, "America/Los_Angeles", 5)
                await add_calls(conn, f"{two}|default", 1)
    for months, reads in ((1, 100), (2, 1_000), (14, 9_000)):
        await gateway.admin.execute(
            "insert into read_meters select source_id, account, month - make_interval(months => $1), user_id, pool, $2 "
            "from read_meters where account = $3 and source_id = $4 order by month desc limit 1",
            months, reads, one, UUID(source["id"]),
        )  # fmt: skip
    month = datetime.now(ZoneInfo("America/Los_Angeles")).strftime("%Y-%m")

    shown = {each["scope"]: each["reads"] for each in await items(admin, "limits")}

    counted = {"month": month, "shared_reads": 15, "allowed": 500_000}
    assert shown == {f"{two}|default": counted | {"reads": 5}, one: counted | {"reads": 10}}
    assert (await user.get(f"/api/sources/{source['id']}")).body["metered_reads"] == {"month": month, "reads": 10}
    other = await gateway.user().add_source()
    assert other["metered_reads"] is None
    async with gateway.deps.database.transaction() as conn:
        assert await conn.fetchval("select count(*) from read_meters") == 0, "a tenant's own, or an administrator's"
    async with open_database(database_url, role="headrace_scheduler") as scheduler:
        await forget(scheduler)
    assert await gateway.admin.fetchval("select max(reads) from read_meters") == 1_000, "14 months ago is forgotten"


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
