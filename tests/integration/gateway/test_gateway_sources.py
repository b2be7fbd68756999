"""Sources: what is stored, what is shown, what is refused."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from gateway_harness import CONFIG, CREDENTIALS, TWO_ENTITIES, Gateway, User

from shared.contracts.ids import SourceId, UserId
from shared.sealing.boxes import Context

ASKED = {"source_type": "json_api", "display_name": "Stock", "config": CONFIG, "credentials": CREDENTIALS}
ELSEWHERE = {"entities": {"inventory": {"url": "https://other.example.com/items", "id_path": "id"}}}


async def stored(gateway: Gateway, source_id: str, column: str) -> Any:
    return await gateway.admin.fetchval(f"select {column} from external_data_sources where id = $1", UUID(source_id))


def opened(gateway: Gateway, user: User, source_id: str, sealed: str, origin: str) -> Any:
    context = Context(UserId(user.id), SourceId(UUID(source_id)), (origin,))
    return json.loads(gateway.ring.open(json.loads(sealed), context))


async def test_a_source_is_saved_and_shown_without_its_credentials(user: User) -> None:
    before = datetime.now(UTC)
    answer = await user.post("/api/sources", ASKED | {"sync_frequency": "hourly", "rate_limit": {"per_second": 2}})
    assert answer.status == 201
    source = answer.body
    assert answer.headers["location"] == f"/api/sources/{source['id']}"
    assert source["credentials_set"] == ["token"]
    assert "credentials" not in source
    assert (source["config"], source["entities"]) == (CONFIG, ["inventory"])
    assert (source["sync_status"], source["last_sync_at"], source["rate_limit"]) == (
        "never_synced",
        None,
        {"per_second": 2},
    )
    due = datetime.fromisoformat(source["next_sync_at"])
    assert timedelta(minutes=59) < due - before < timedelta(minutes=61)
    assert source["created_at"].endswith("Z")
    assert (await user.get(f"/api/sources/{source['id']}")).body == source
    assert (await user.get("/api/sources")).body == {"items": [source], "next_cursor": None}


async def test_credentials_are_sealed_for_their_source_and_origin(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    sealed = await stored(gateway, source["id"], "credentials")
    assert CREDENTIALS["token"] not in sealed
    assert opened(gateway, user, source["id"], sealed, "https://stock.example.com:443") == CREDENTIALS


async def test_a_source_of_another_user_does_not_exist(user: User, stranger: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}"
    for method, tail, body in [
        ("GET", "", None),
        ("PATCH", "", {"display_name": "mine"}),
        ("DELETE", "", None),
        ("POST", "/test", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/reset", None),
        ("POST", "/sync", None),
    ]:
        answer = await stranger.call(method, path + tail, body)
        assert (answer.status, answer.body["type"]) == (404, "urn:headrace:problem:not-found"), tail
    assert (await stranger.get("/api/sources")).body["items"] == []
    answer = await stranger.post("/api/external/sync", {"source_ids": [source["id"]]})
    assert answer.status == 404
    assert (await user.get(path)).body == source


async def test_what_is_wrong_with_a_source_is_named(user: User) -> None:
    mapping = {"inventory": {"sku": "code"}}
    for change, pointer, category in [
        ({"source_type": "no_such"}, "/source_type", "CONFIG_ERROR"),
        ({"config": {}}, "/config/entities", "CONFIG_ERROR"),
        (
            {"config": {"entities": {"inventory": {"url": "https://a.example.com"}}}},
            "/config/entities/inventory/id_path",
            None,
        ),
        ({"credentials": {"type": "bearer"}}, "/credentials/bearer/token", None),
        ({"credentials": {"type": "canary"}}, "/credentials", None),
        ({"field_mappings": {"inventory": {"colour": "x"}}}, "/field_mappings/inventory/colour", None),
        ({"field_mappings": {"inventory": {"lines": "x"}}}, "/field_mappings/inventory/lines", None),
        ({"field_mappings": {"vendors": {"name": "x"}}}, "/field_mappings/vendors", None),
        ({"field_mappings": {"things": {}}}, "/field_mappings/things", None),
        (
            {"field_mappings": {"inventory": {"sku": {"path": "a", "constant": 1}}}},
            "/field_mappings/inventory/sku",
            None,
        ),
        ({"field_mappings": {"inventory": {"sku": "a[?b"}}}, "/field_mappings/inventory/sku", "MAPPING_ERROR"),
        ({"field_mappings": {"inventory": {"sku": "nofunc(a)"}}}, "/field_mappings/inventory/sku", "MAPPING_ERROR"),
        ({"sync_frequency": "cron:* * * *"}, "/sync_frequency", None),
        ({"sync_frequency": "cron:0 6 * * * Moon/Base"}, "/sync_frequency", None),
        ({"full_sync_every": "often"}, "/full_sync_every", None),
        ({"cache_ttl_seconds": -1}, "/cache_ttl_seconds", None),
        ({"rate_limit": {"per_second": 0}}, "/rate_limit/per_second", None),
        ({"display_name": "nul \0"}, "/display_name", None),
        ({"config": CONFIG | {"note": "\ud800"}}, "/config", None),
    ]:
        answer = await user.post("/api/sources", ASKED | {"field_mappings": mapping} | change)
        assert answer.status == 422, (change, answer.text)
        assert pointer in [error["pointer"] for error in answer.body["errors"]], (change, answer.text)
        assert answer.body["category"] == (category or "CONFIG_ERROR")
        assert "canary" not in answer.text
    assert (await user.get("/api/sources")).body["items"] == []


async def test_mappings_that_are_right_are_kept_as_they_came(user: User) -> None:
    orders = {"url": "https://stock.example.com/orders", "id_path": "id"}
    config = {"entities": {"purchase_orders": orders}}
    mappings = {
        "purchase_orders": {
            "order_number": "Order No.",
            "lines": "lines[].{item_id: to_string(item), quantity: qty}",
            "total": {"path": "sum(lines[].price)", "default": 1.25},
        }
    }
    source = await user.add_source(config=config, field_mappings=mappings)
    assert source["field_mappings"] == mappings
    assert (await user.get(f"/api/sources/{source['id']}")).body["field_mappings"] == mappings


async def test_a_patch_changes_what_it_names(user: User) -> None:
    source = await user.add_source(description="old", full_sync_every="7d")
    path = f"/api/sources/{source['id']}"
    answer = await user.call("PATCH", path, {"display_name": "New", "description": None, "sync_frequency": "manual"})
    assert answer.status == 200
    changed = {"display_name": "New", "description": None, "sync_frequency": "manual", "next_sync_at": None}
    assert answer.body == source | changed | {"updated_at": answer.body["updated_at"]}
    assert answer.body["updated_at"] > source["updated_at"]
    for body in ({"display_name": None}, {"config": None}, {"source_type": "csv_api"}, {"credentials": None}):
        assert (await user.call("PATCH", path, body)).status == 422, body


async def test_a_new_mapping_is_a_new_version_and_makes_the_next_run_full(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    await gateway.admin.execute(
        "insert into sync_cursors (source_id, entity, user_id, changed_until) values ($1, 'inventory', $2, now())",
        UUID(source["id"]), user.id,
    )  # fmt: skip
    path = f"/api/sources/{source['id']}"
    await user.call("PATCH", path, {"display_name": "only a name"})
    assert await gateway.admin.fetchval("select count(*) from sync_cursors") == 1
    changed = (await user.call("PATCH", path, {"field_mappings": {"inventory": {"sku": "code"}}})).body
    assert changed["mapping_version"] == source["mapping_version"] + 1
    assert await gateway.admin.fetchval("select count(*) from sync_cursors") == 0


async def test_new_addresses_need_the_credentials_again(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}"
    answer = await user.call("PATCH", path, {"config": ELSEWHERE})
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/credentials")
    assert "credentials" in answer.body["hint"]
    assert (await user.get(path)).body["config"] == CONFIG
    again = {"type": "bearer", "token": "canary-secret-token-7f3a-second"}
    answer = await user.call("PATCH", path, {"config": ELSEWHERE, "credentials": again})
    assert (answer.status, answer.body["config"]) == (200, ELSEWHERE)
    sealed = await stored(gateway, source["id"], "credentials")
    assert opened(gateway, user, source["id"], sealed, "https://other.example.com:443") == again


async def test_a_source_without_secrets_moves_freely(gateway: Gateway, user: User) -> None:
    source = await user.add_source(credentials={"type": "none"})
    assert source["credentials_set"] == []
    assert (await user.call("PATCH", f"/api/sources/{source['id']}", {"config": ELSEWHERE})).status == 200
    sealed = await stored(gateway, source["id"], "credentials")
    assert opened(gateway, user, source["id"], sealed, "https://other.example.com:443") == {"type": "none"}


async def test_a_deleted_source_is_gone_with_its_credentials_and_its_run(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}"
    run_id = (await user.post(f"{path}/sync")).body["run_id"]
    assert (await user.call("DELETE", path)).status == 204
    assert await stored(gateway, source["id"], "credentials") is None
    assert (await user.get(f"/api/runs/{run_id}")).body["status"] == "cancelled"
    assert (await user.get(path)).status == 404
    assert (await user.call("DELETE", path)).status == 404
    assert (await user.post(f"{path}/sync")).status == 404
    assert (await user.get("/api/sources")).body["items"] == []
    (shown,) = (await user.get("/api/sources?include_deleted=true")).body["items"]
    assert (shown["is_deleted"], shown["credentials_set"], shown["next_sync_at"]) == (True, [], None)


async def test_pause_and_resume(user: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}"
    paused = (await user.post(f"{path}/pause")).body
    assert (paused["sync_status"], paused["next_sync_at"]) == ("paused", None)
    assert (await user.post(f"{path}/pause")).body == paused
    assert (await user.post("/api/external/sync")).body == {"runs": []}
    assert (await user.post("/api/external/sync", {"source_ids": [source["id"]]})).status == 422
    resumed = (await user.post(f"{path}/resume")).body
    assert (resumed["sync_status"], resumed["paused_at"]) == ("never_synced", None)
    assert resumed["next_sync_at"] is not None


async def test_reset_forgets_cursors_unless_a_run_would_set_them_again(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    await gateway.admin.execute(
        "insert into sync_cursors (source_id, entity, user_id, changed_until) values ($1, 'inventory', $2, now())",
        UUID(source["id"]), user.id,
    )  # fmt: skip
    path = f"/api/sources/{source['id']}"
    run_id = (await user.post(f"{path}/sync")).body["run_id"]
    answer = await user.post(f"{path}/reset")
    assert (answer.status, answer.body["run_id"]) == (409, run_id)
    await user.post(f"/api/runs/{run_id}/cancel")
    assert (await user.post(f"{path}/reset")).status == 200
    assert await gateway.admin.fetchval("select count(*) from sync_cursors") == 0


async def test_lists_go_on_where_they_stopped(user: User, stranger: User) -> None:
    names = [f"source {number}" for number in range(5)]
    for name in names:
        await user.add_source(display_name=name)
    await stranger.add_source()
    seen, path = [], "/api/sources?limit=2"
    while True:
        answer = (await user.get(path)).body
        seen += [source["display_name"] for source in answer["items"]]
        if len(seen) == 2:
            await user.add_source(display_name="added meanwhile")
        if answer["next_cursor"] is None:
            break
        path = f"/api/sources?limit=2&cursor={answer['next_cursor']}"
    assert seen == [*names, "added meanwhile"]


async def test_an_idempotency_key_makes_one_source(gateway: Gateway, user: User, stranger: User) -> None:
    answers = await asyncio.gather(*(user.post("/api/sources", ASKED, Idempotency_Key="once") for _ in range(4)))
    assert [answer.status for answer in answers] == [201] * 4
    assert all(answer.body == answers[0].body for answer in answers)
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, True, True, True]
    assert len((await user.get("/api/sources")).body["items"]) == 1
    other = await user.post("/api/sources", ASKED | {"display_name": "Other"}, Idempotency_Key="once")
    assert (other.status, other.body["type"]) == (422, "urn:headrace:problem:idempotency-key-reused")
    assert (await stranger.post("/api/sources", ASKED, Idempotency_Key="once")).status == 201
    for row in await gateway.admin.fetch("select k::text as whole from idempotency_keys k"):
        assert CREDENTIALS["token"] not in row["whole"]


async def test_a_refused_request_does_not_spend_its_key(user: User) -> None:
    assert (await user.post("/api/sources", ASKED | {"config": {}}, Idempotency_Key="k")).status == 422
    assert (await user.post("/api/sources", ASKED, Idempotency_Key="k")).status == 201
    assert (await user.post("/api/sources", ASKED, Idempotency_Key="k" * 256)).status == 422


async def test_the_catalogue_describes_every_connector(gateway: Gateway, user: User) -> None:
    listing = (await user.get("/api/connectors")).body
    assert listing["next_cursor"] is None
    assert [entry["source_type"] for entry in listing["items"]] == list(gateway.deps.specs)
    entry = next(entry for entry in listing["items"] if entry["source_type"] == "json_api")
    assert entry["config_schema"]["properties"]["entities"]
    assert "bearer" in json.dumps(entry["credentials_schema"])
    assert set(entry["rate_limits"]) >= {"default"}
    assert entry["entities"] == ["inventory", "vendors", "purchase_orders"]
    assert entry.keys() >= {"title", "sync_modes", "supports_realtime", "default_mappings"}
    rules = {entry["source_type"]: entry["sync_rules"] for entry in listing["items"]}
    assert rules["quickbooks"] == {
        "overlap_seconds": 300,
        "max_cursor_age_seconds": 30 * 86_400,
        "full_sync_every": "7d",
        "realtime_sync_seconds": 900,
    }
    assert (rules["csv_api"]["max_cursor_age_seconds"], rules["csv_api"]["full_sync_every"]) == (None, None)


async def test_two_entities_in_one_source(user: User) -> None:
    assert (await user.add_source(config=TWO_ENTITIES))["entities"] == ["inventory", "vendors"]
    assert (await user.get(f"/api/sources/{uuid4()}")).status == 404


@pytest.mark.parametrize("name", ["Price (USD)", "Cost [EUR]", "Vendor: Name", "On Hand?", "R&D", "Preis/Stück"])
async def test_the_name_of_any_raw_field_may_stand_on_the_right(user: User, name: str) -> None:
    source = await user.add_source(field_mappings={"inventory": {"name": "name", "unit_price": name}})
    assert source["field_mappings"]["inventory"]["unit_price"] == name


@pytest.mark.parametrize("text", ["sum(lines[].qty", "totl(b)", "a || ", "[0", "lines[*].{a: b", "", "`1"])
async def test_what_can_only_be_a_broken_expression_is_refused(user: User, text: str) -> None:
    body = {"source_type": "json_api", "display_name": "x", "config": CONFIG, "credentials": CREDENTIALS}
    answer = await user.post("/api/sources", body | {"field_mappings": {"inventory": {"name": text}}})
    assert (answer.status, answer.body["category"]) == (422, "MAPPING_ERROR")


async def test_a_vendors_key_is_not_saved_for_a_stranger(user: User) -> None:
    body = {"source_type": "finale_inventory", "display_name": "x", "credentials": {"api_key": "k", "api_secret": "s"}}
    for address, status in [
        ("https://evil.example.com", 422),
        ("http://127.0.0.1:9998", 422),
        ("http://127.0.0.1:9999", 201),
        ("https://app.finaleinventory.com", 201),
    ]:
        answer = await user.post("/api/sources", body | {"config": {"account": "acme", "base_url": address}})
        assert answer.status == status, answer.text
        if status == 422:
            assert answer.body["errors"][0]["pointer"] == "/config/base_url"
            assert "HEADRACE_EGRESS_ALLOW" in answer.body["hint"]
    moved = await user.call(
        "PATCH",
        f"/api/sources/{answer.body['id']}",
        {"config": {"account": "acme", "base_url": "https://evil.example.com"}, "credentials": body["credentials"]},
    )
    assert moved.status == 422


async def test_a_run_whose_message_waits_for_the_broker_says_so(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    gateway.bus.faults.away = True
    run = (await user.post(f"/api/sources/{source['id']}/sync")).body["run_id"]
    assert (await user.get(f"/api/runs/{run}")).body["waiting_on"] is None
    await gateway.admin.execute("update outbox set created_at = created_at - interval '3 seconds'")
    shown = (await user.get(f"/api/runs/{run}")).body
    assert (shown["status"], shown["waiting_on"]) == ("queued", "broker")
