"""Webhooks in: what counts as signed, what is refused alike, and how many become one run."""

import asyncio
import base64
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from gateway_harness import Answer, Gateway, User

from pipeline import eventually
from services.gateway.quickbooks_events import changes_by_realm
from services.gateway.signatures import generic_signature, intuit_holds
from services.scheduler import due
from shared.clock import SystemClock
from shared.storage.database import open_database
from shared.storage.webhooks import Change

EVENTS = {"events": [{"entity": "inventory", "id": "BOLT-1", "op": "upsert"}]}


async def secret_of(user: User, source: dict[str, Any], **body: str) -> str:
    answer = await user.post(f"/api/sources/{source['id']}/webhook-secret", body or None)
    assert answer.status == 201, answer.text
    return str(answer.body["secret"])


async def post(
    gateway: Gateway, path: str, secret: str, body: Any = EVENTS, *, at: float | None = None, **changed: str
) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    timestamp = str(int(time.time() if at is None else at))
    headers = {
        "X-Headrace-Timestamp": timestamp,
        "X-Headrace-Signature": generic_signature(secret.encode(), timestamp, raw),
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return await gateway.call("POST", path, raw, headers)


async def runs_of(user: User, source: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await user.get(f"/api/runs?source_id={source['id']}")).body["items"]
    return items


async def test_many_signed_posts_become_one_run(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    secret = await secret_of(user, source)
    path = f"/webhooks/{source['id']}"
    posts = [{"events": [{"entity": "inventory", "id": f"P-{number}", "op": "upsert"}]} for number in range(20)]
    answers = await asyncio.gather(*(post(gateway, path, secret, body) for body in posts))
    assert [(answer.status, answer.body) for answer in answers] == [(202, {"accepted": 1})] * 20

    (run,) = await eventually(lambda: runs_of(user, source), bool, within=10)
    assert (run["trigger"], run["status"], list(run["entities"])) == ("webhook", "queued", ["inventory"])
    kept = await gateway.admin.fetch("select external_id from webhook_events order by id")
    assert {row["external_id"] for row in kept} == {f"P-{number}" for number in range(20)}
    audited = (await user.get("/api/audit?action=run.requested")).body["items"]
    assert [(entry["actor"], entry["object_id"]) for entry in audited] == [("webhook", run["id"])]


async def test_everything_wrong_gets_the_same_answer(gateway: Gateway, user: User, stranger: User) -> None:
    source, other = await user.add_source(), await stranger.add_source()
    secret, foreign = await secret_of(user, source), await secret_of(stranger, other)
    silent = await user.add_source()
    path = f"/webhooks/{source['id']}"
    now = time.time()
    refused = [
        await post(gateway, f"/webhooks/{uuid4()}", secret),
        await post(gateway, "/webhooks/not-an-id", secret),
        await post(gateway, f"/webhooks/{silent['id']}", secret),
        await post(gateway, path, foreign),
        await post(gateway, path, secret, at=now - 301),
        await post(gateway, path, secret, at=now + 310),
        await post(gateway, path, secret, X_Headrace_Timestamp="now"),
        await post(gateway, path, secret, X_Headrace_Timestamp=str(int(now) - 1)),
        await post(gateway, path, secret, X_Headrace_Signature="sha256="),
        await post(gateway, path, secret, X_Headrace_Signature="sha256=" + "0" * 64),
        await post(gateway, path, secret, {"events": [{"entity": "customers", "op": "upsert"}]}),
        await post(gateway, path, secret, {"events": [{"entity": "vendors", "op": "upsert"}]}),
        await post(gateway, path, secret, {"events": [{"entity": "inventory", "op": "explode"}]}),
        await post(gateway, path, secret, {"events": "all"}),
        await post(gateway, path, secret, b"{"),
        await post(gateway, path, secret, b"[" * 100_000),
    ]
    assert {answer.status for answer in refused} == {401}
    assert len({answer.text for answer in refused}) == 1, "the answer tells what was wrong"
    await user.call("DELETE", f"/api/sources/{source['id']}")
    assert (await post(gateway, path, secret)).status == 401
    assert await gateway.admin.fetchval("select count(*) from webhook_events") == 0


async def test_a_signature_counts_once(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    secret = await secret_of(user, source)
    at = time.time()
    path = f"/webhooks/{source['id']}"
    assert (await post(gateway, path, secret, at=at)).status == 202
    assert (await post(gateway, path, secret, at=at)).status == 401
    assert (await post(gateway, path, secret, at=at + 1)).status == 202


async def test_an_app_that_cannot_exist_is_an_unknown_one(gateway: Gateway) -> None:
    answers = [await gateway.call("POST", f"/webhooks/quickbooks/{app}", b"{}") for app in ("nobody", "%00", "a%00b")]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


async def test_an_id_that_is_a_number_is_taken_in_its_text_form(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    secret = await secret_of(user, source)
    path = f"/webhooks/{source['id']}"
    for number, status in ((17, 202), (12345678901234567890, 202), (1.5, 401), (True, 401), ([], 401)):
        body = {"events": [{"entity": "inventory", "id": number, "op": "upsert"}]}
        assert (await post(gateway, path, secret, body)).status == status, number
    kept = await gateway.admin.fetch("select external_id from webhook_events order by id")
    assert [row["external_id"] for row in kept] == ["17", "12345678901234567890"]


async def test_a_new_secret_ends_the_old_one(gateway: Gateway, user: User, stranger: User) -> None:
    source = await user.add_source()
    old = await secret_of(user, source)
    new = await secret_of(user, source)
    path = f"/webhooks/{source['id']}"
    assert (await post(gateway, path, old)).status == 401
    assert (await post(gateway, path, new)).status == 202
    assert (await stranger.post(f"/api/sources/{source['id']}/webhook-secret")).status == 404
    row = await gateway.admin.fetchval("select box from webhook_secrets")
    assert new not in row
    assert base64.b64encode(new.encode()).decode() not in row


async def test_a_paused_source_keeps_its_events_for_later(gateway: Gateway, user: User, database_url: str) -> None:
    source = await user.add_source()
    secret = await secret_of(user, source)
    await user.post(f"/api/sources/{source['id']}/pause")
    assert (await post(gateway, f"/webhooks/{source['id']}", secret)).status == 202
    await gateway.admin.execute("update webhook_events set received_at = received_at - interval '1 minute'")
    async with open_database(database_url, role="headrace_scheduler") as database:
        sweep = due.DueSources(database, gateway.bus, SystemClock())
        assert await sweep.tick_webhooks() == 0
        await user.post(f"/api/sources/{source['id']}/resume")
        assert await sweep.tick_webhooks() == 1
        assert await sweep.tick_webhooks() == 0, "a queued run serves them already"
    (run,) = await runs_of(user, source)
    assert run["trigger"] == "webhook"


VECTOR = (
    b'{"eventNotifications":[{"realmId":"9130000000000001","dataChangeEvent":{"entities":[{"name":"Item","id":"7",'
    b'"operation":"Update","lastUpdated":"2026-05-20T17:03:11.000Z"}]}}]}'
)


def test_the_vendors_signature() -> None:
    signature = "+pvmEFS5YqFSq1/L0KaALNIjRYo+WXAQUSjMaAaQ1t4="
    assert intuit_holds(b"example-verifier-token", signature, VECTOR)
    assert not intuit_holds(b"example-verifier-token", signature, VECTOR + b" ")
    assert not intuit_holds(b"another-verifier-token", signature, VECTOR)
    assert not intuit_holds(b"example-verifier-token", "é", VECTOR)


def test_both_forms_of_the_vendors_payload() -> None:
    older = {
        "eventNotifications": [
            {
                "realmId": "1",
                "dataChangeEvent": {
                    "entities": [
                        {"name": "PurchaseOrder", "id": "145", "operation": "Update"},
                        {"name": "Vendor", "id": "40", "operation": "Merge", "deletedId": "41"},
                        {"name": "Customer", "id": "9", "operation": "Create"},
                        {"name": "PurchaseOrder", "id": "145", "operation": "Update"},
                    ]
                },
            },
            {"realmId": "2", "dataChangeEvent": {"entities": [{"name": "Item", "id": "7", "operation": "Delete"}]}},
        ]
    }
    assert changes_by_realm(older) == {
        "1": [
            Change("purchase_orders", "145", "upsert"),
            Change("vendors", "40", "upsert"),
            Change("vendors", "41", "delete"),
            Change("inventory", None, "upsert"),
        ],
        "2": [Change("inventory", "7", "delete")],
    }
    newer = [
        {"type": "qbo.purchaseorder.updated.v1", "intuitentityid": "145", "intuitaccountid": "1", "data": {}},
        {"type": "qbo.item.deleted.v1", "intuitentityid": "7", "intuitaccountid": "2"},
        {"type": "qbo.invoice.created.v1", "intuitentityid": "8", "intuitaccountid": "2"},
    ]
    assert changes_by_realm(newer) == {
        "1": [Change("purchase_orders", "145", "upsert"), Change("inventory", None, "upsert")],
        "2": [Change("inventory", "7", "delete")],
    }
    item = {"type": "qbo.item.updated.v1", "intuitentityid": "7", "intuitaccountid": "2"}
    odd: list[Any] = [
        7,
        {},
        {"type": "qbo"},
        {"type": "payments.charge.created.v2.beta", "intuitentityid": "7"},
        {**item, "intuitentityid": None},
        {**item, "intuitentityid": "7\0"},
        {**item, "intuitentityid": True},
        {**item, "intuitaccountid": False},
        {**item, "data": "none"},
    ]
    assert changes_by_realm(odd) == {"2": [Change("inventory", "7", "upsert")]}, (
        "what cannot be read holds nothing back"
    )
    entries: list[Any] = [None, {"name": "Item"}, {"name": "Item", "id": "7"}]
    olds: list[Any] = ["x", {}, {"realmId": "2", "dataChangeEvent": {"entities": entries}}, {"dataChangeEvent": []}]
    assert changes_by_realm({"eventNotifications": olds}) == {"2": [Change("inventory", "7", "upsert")]}
    for neither in ({}, "text", {"eventNotifications": {}}, None):
        with pytest.raises(ValueError, match="neither"):
            changes_by_realm(neither)
