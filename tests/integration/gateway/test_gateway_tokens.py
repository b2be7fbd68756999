"""API tokens and the audit log; how often one may ask; pages of other origins."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from gateway_harness import Answer, Gateway, User, running_gateway, token


async def with_token(gateway: Gateway, text: str, method: str, path: str, body: Any = None) -> Answer:
    return await gateway.call(method, path, body, {"Authorization": f"Bearer {text}"})


async def made(user: User, **members: Any) -> dict[str, Any]:
    answer = await user.post("/api/tokens", {"name": "a machine"} | members)
    assert answer.status == 201, answer.text
    return dict(answer.body)


async def test_a_token_acts_for_its_user_until_it_is_revoked(gateway: Gateway, user: User, stranger: User) -> None:
    await stranger.add_source()
    source = await user.add_source()
    created = await made(user)
    listed = await with_token(gateway, created["token"], "GET", "/api/sources")
    assert [each["id"] for each in listed.body["items"]] == [source["id"]]

    shown = (await user.get("/api/tokens")).body["items"]
    assert [(each["id"], each["scopes"]) for each in shown] == [(created["id"], ["read", "sync"])]
    assert shown[0]["last_used_at"] is not None
    assert "token" not in shown[0]
    assert (await stranger.get("/api/tokens")).body["items"] == []
    assert (await stranger.call("DELETE", f"/api/tokens/{created['id']}")).status == 404

    assert (await user.call("DELETE", f"/api/tokens/{created['id']}")).status == 204
    assert (await with_token(gateway, created["token"], "GET", "/api/sources")).status == 401
    assert (await user.call("DELETE", f"/api/tokens/{created['id']}")).status == 404


async def test_of_a_token_only_a_hash_is_kept(gateway: Gateway, user: User) -> None:
    created = await made(user)
    secret = created["token"].split("_", 2)[2]
    row = await gateway.admin.fetchval("select to_jsonb(t)::text from api_tokens t")
    assert secret not in row
    assert created["prefix"] in row


async def test_a_key_makes_one_token_and_shows_it_again_to_its_asker(
    gateway: Gateway, user: User, stranger: User
) -> None:
    asked = {"name": "a machine"}
    answers = await asyncio.gather(*(user.post("/api/tokens", asked, Idempotency_Key="k") for _ in range(4)))
    assert [answer.status for answer in answers] == [201] * 4
    assert len({answer.text for answer in answers}) == 1
    created = answers[0].body
    assert len((await user.get("/api/tokens")).body["items"]) == 1
    assert (await with_token(gateway, created["token"], "GET", "/api/sources")).status == 200
    assert (await user.post("/api/tokens", asked | {"name": "b"}, Idempotency_Key="k")).status == 422
    assert (await stranger.post("/api/tokens", asked, Idempotency_Key="k")).body["token"] != created["token"]
    kept = str(await gateway.admin.fetch("select k::text from idempotency_keys k"))
    assert created["token"].split("_", 2)[2] not in kept

    # A row that was moved, or whose key is gone, shows nothing.
    await gateway.admin.execute("update idempotency_keys set key = 'moved' where user_id = $1", user.id)
    moved = await user.post("/api/tokens", asked, Idempotency_Key="moved")
    assert (moved.status, moved.body["category"]) == (409, "CONFIG_ERROR")
    assert moved.body["hint"]


async def test_a_key_makes_one_webhook_secret(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}/webhook-secret"
    first, again = [await user.post(path, Idempotency_Key="k") for _ in range(2)]
    assert (again.status, again.body, again.headers["idempotency-replayed"]) == (201, first.body, "true")
    assert first.body["secret"] not in str(await gateway.admin.fetch("select k::text from idempotency_keys k"))
    assert (await user.post(path)).body["secret"] != first.body["secret"]


async def test_a_token_can_do_what_its_scopes_say(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    reading = (await made(user, scopes=["read"]))["token"]
    syncing = (await made(user, scopes=["sync"]))["token"]
    writing = (await made(user, scopes=["write"]))["token"]
    start, pause = f"/api/sources/{source['id']}/sync", f"/api/sources/{source['id']}/pause"
    for text, method, path, status in [
        (reading, "GET", "/api/sources", 200),
        (reading, "POST", start, 403),
        (reading, "POST", pause, 403),
        (syncing, "GET", "/api/sources", 403),
        (syncing, "POST", pause, 403),
        (syncing, "POST", start, 202),
        (writing, "POST", pause, 200),
        (writing, "POST", start, 409),
        (writing, "GET", "/api/sources", 403),
        (writing, "GET", "/api/ops/anything", 403),
        (writing, "POST", "/api/tokens", 403),
        (reading, "GET", "/api/tokens", 403),
        (reading, "GET", "/api/tokens/", 403),
    ]:
        answer = await with_token(gateway, text, method, path)
        assert answer.status == status, (method, path, answer.text)


async def test_only_an_administrator_makes_an_administrators_token(gateway: Gateway, user: User) -> None:
    refused = await user.post("/api/tokens", {"name": "x", "scopes": ["admin"]})
    assert refused.status == 422
    admin = {"Authorization": f"Bearer {token(user.id, app_metadata={'headrace_role': 'admin'})}"}
    answer = await gateway.call("POST", "/api/tokens", {"name": "x", "scopes": ["admin"]}, admin)
    assert answer.status == 201


async def test_forged_cut_and_expired_tokens_prove_nothing(gateway: Gateway, user: User) -> None:
    created = await made(user, expires_in_days=1)
    text = created["token"]
    head, secret = text.rsplit("_", 1)[0], text.split("_", 2)[2]
    other = await made(user.gateway.user())
    for forged in (
        text[:-1],
        text + "a",
        f"headrace_{'a' * 12}_{secret}",
        f"{'_'.join(other['token'].split('_')[:2])}_{secret}",
        f"{head}_{'A' * 43}",
        "headrace_",
    ):
        answer = await with_token(gateway, forged, "GET", "/api/sources")
        assert answer.status == 401, forged
        assert secret not in answer.text
    await gateway.admin.execute("update api_tokens set expires_at = now() where id = $1", created["id"])
    assert (await with_token(gateway, text, "GET", "/api/sources")).status == 401


async def test_the_log_says_who_did_what_and_never_what_was_sent(gateway: Gateway, user: User, stranger: User) -> None:
    source = await user.add_source()
    machine = await made(user)
    run = (await with_token(gateway, machine["token"], "POST", f"/api/sources/{source['id']}/sync")).body["run_id"]
    await user.post(f"/api/runs/{run}/cancel")
    await user.call("PATCH", f"/api/sources/{source['id']}", {"display_name": "canary-name", "sync_frequency": "daily"})
    await user.post(f"/api/sources/{source['id']}/pause")
    await user.call("DELETE", f"/api/sources/{source['id']}")

    answer = await user.get("/api/audit?limit=500")
    entries = answer.body["items"]
    assert [(each["action"], each["actor"]) for each in entries] == [
        ("source.deleted", "user"),
        ("source.paused", "user"),
        ("source.changed", "user"),
        ("run.cancelled", "user"),
        ("run.requested", "token"),
        ("token.created", "user"),
        ("source.created", "user"),
    ]
    assert entries[4]["actor_id"] == machine["id"]
    assert entries[2]["details"] == {"fields": ["display_name", "sync_frequency"]}
    assert "canary" not in answer.text
    assert (await stranger.get("/api/audit")).body["items"] == []

    only = (await user.get(f"/api/audit?object_id={run}&action=run.cancelled")).body["items"]
    assert [each["object_id"] for each in only] == [run]
    first = (await user.get("/api/audit?limit=4")).body
    second = (await user.get(f"/api/audit?limit=4&cursor={first['next_cursor']}")).body
    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in entries]


async def test_a_refused_deed_leaves_no_entry(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    await user.post(f"/api/sources/{source['id']}/sync")
    await user.post(f"/api/sources/{source['id']}/sync")
    assert await gateway.admin.fetchval("select count(*) from audit_log where action = 'run.requested'") == 1


@pytest.mark.parametrize(
    "statement", ["update audit_log set actor_id = 'x'", "delete from audit_log", "truncate audit_log"]
)
async def test_nobody_changes_the_log_not_even_its_owner(gateway: Gateway, user: User, statement: str) -> None:
    await user.add_source()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await gateway.admin.execute(statement)


async def test_one_users_haste_is_not_anothers_wait(database_url: str) -> None:
    async with running_gateway(database_url, requests_per_minute=10) as gateway:
        hasty, patient = gateway.user(), gateway.user()
        answers = [await hasty.get("/api/connectors") for _ in range(12)]
        assert [answer.status for answer in answers] == [200] * 10 + [429] * 2
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].body["category"] == "RATE_LIMITED"
        assert (await patient.get("/api/connectors")).status == 200
        assert (await gateway.call("GET", "/healthz")).status == 200


async def test_pages_of_named_origins_alone_may_call(database_url: str) -> None:
    async with running_gateway(database_url, allowed_origins=["https://mrp.example.com"]) as gateway:
        asked = {"Origin": "https://mrp.example.com", "Access-Control-Request-Method": "POST"}
        preflight = await gateway.call("OPTIONS", "/api/sources", None, asked)
        assert preflight.headers["access-control-allow-origin"] == "https://mrp.example.com"
        assert "access-control-allow-credentials" not in preflight.headers
        unsigned = await gateway.call("GET", "/api/sources", None, {"Origin": "https://mrp.example.com"})
        assert unsigned.status == 401
        assert unsigned.headers["access-control-allow-origin"] == "https://mrp.example.com"
        headers = {"Origin": "https://evil.example.com", "Authorization": f"Bearer {token(uuid4())}"}
        foreign = await gateway.call("GET", "/api/sources", None, headers)
        assert "access-control-allow-origin" not in foreign.headers
