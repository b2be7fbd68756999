"""Webhooks kept many at a time: each for its own tenant, each by what is true when it is kept."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from gateway_harness import TWO_ENTITIES, Gateway, User, running_gateway
from test_gateway_webhooks import post, runs_of, secret_of

from pipeline import eventually
from shared.contracts.ids import SourceId
from shared.storage import webhooks
from shared.storage.webhooks import Change, Delivery, Signer, WaitingSource


@pytest.fixture
async def other(gateway: Gateway, database_url: str) -> AsyncIterator[Gateway]:
    """A second gateway process of the same deployment."""
    async with running_gateway(database_url, ring=gateway.ring) as running:
        yield running


async def signer(gateway: Gateway, user: User) -> Signer:
    source = await user.add_source()
    await secret_of(user, source)
    found = await webhooks.find_signers(gateway.deps.database, [SourceId(UUID(source["id"]))])
    return found[SourceId(UUID(source["id"]))]


def delivery(signer: Signer, name: str, *, once: bool = True) -> Delivery:
    digest = hashlib.sha256(name.encode()).digest() if once else None
    return Delivery(signer, digest, [Change("inventory", name, "upsert"), Change("inventory", f"{name}'", "delete")])


async def test_each_of_a_batch_is_judged_and_kept_by_itself(gateway: Gateway, user: User, stranger: User) -> None:
    mine, theirs, gone = await signer(gateway, user), await signer(gateway, stranger), await signer(gateway, user)
    await user.call("DELETE", f"/api/sources/{gone.source_id}")
    forged = Signer(mine.source_id, theirs.user_id, theirs.box, mine.entities)
    batch = [
        delivery(mine, "a"),
        delivery(theirs, "a"),
        delivery(mine, "a"),
        delivery(gone, "b"),
        delivery(forged, "c"),
        delivery(theirs, "d", once=False),
        delivery(theirs, "d", once=False),
        Delivery(mine, hashlib.sha256(b"e").digest(), []),
    ]
    assert await webhooks.take_deliveries(gateway.deps.database, batch) == [
        "taken", "taken", "replayed", "outdated", "outdated", "taken", "taken", "taken"
    ]  # fmt: skip
    assert await webhooks.take_deliveries(gateway.deps.database, batch[:2]) == ["replayed", "replayed"]
    kept = await gateway.admin.fetch("select user_id, external_id, op from webhook_events order by id")
    owners = [(user.id, "a"), (stranger.id, "a"), (stranger.id, "d"), (stranger.id, "d")]
    assert sorted((row["user_id"], row["external_id"], row["op"]) for row in kept) == sorted(
        (owner, name, op) for owner, each in owners for name, op in ((each, "upsert"), (f"{each}'", "delete"))
    )


async def test_two_gateways_with_the_same_deliveries_take_each_once(
    gateway: Gateway, other: Gateway, user: User
) -> None:
    mine = await signer(gateway, user)
    batch = [delivery(mine, f"P-{number}") for number in range(100)]
    found = await asyncio.gather(
        webhooks.take_deliveries(gateway.deps.database, batch),
        webhooks.take_deliveries(other.deps.database, batch[::-1]),
    )
    assert sorted(found[0] + found[1]) == ["replayed"] * 100 + ["taken"] * 100
    assert await gateway.admin.fetchval("select count(*) from webhook_events") == 200


async def test_a_secret_that_another_gateway_replaces_ends_what_this_one_remembers(
    gateway: Gateway, other: Gateway, user: User
) -> None:
    source = await user.add_source()
    old = await secret_of(user, source)
    path = f"/webhooks/{source['id']}"
    assert (await post(gateway, path, old)).status == 202
    new = await secret_of(User(other, user.id), source)
    assert (await post(gateway, path, old, {"events": []})).status == 401
    assert (await post(gateway, path, new)).status == 202
    await User(other, user.id).call("DELETE", path.replace("/webhooks", "/api/sources"))
    assert (await post(gateway, path, new, {"events": []})).status == 401


async def test_an_entity_that_is_new_counts_at_once(gateway: Gateway, other: Gateway, user: User) -> None:
    source = await user.add_source()
    secret = await secret_of(user, source)
    path = f"/webhooks/{source['id']}"
    of_vendors = {"events": [{"entity": "vendors", "op": "upsert"}]}
    assert (await post(gateway, path, secret)).status == 202
    assert (await post(gateway, path, secret, of_vendors)).status == 401
    changed = await User(other, user.id).call("PATCH", f"/api/sources/{source['id']}", {"config": TWO_ENTITIES})
    assert changed.status == 200, changed.text
    assert (await post(gateway, path, secret, of_vendors)).status == 202


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=["nul", "half of a pair"])
async def test_an_id_that_cannot_be_stored_is_refused(gateway: Gateway, user: User, name: str) -> None:
    source = await user.add_source()
    secret = await secret_of(user, source)
    body = json.dumps({"events": [{"entity": "inventory", "id": name, "op": "upsert"}]}).encode()
    assert (await post(gateway, f"/webhooks/{source['id']}", secret, body)).status == 401


async def test_a_run_is_asked_only_for_what_no_queued_run_will_take(gateway: Gateway, user: User) -> None:
    source = await user.add_source(config=TWO_ENTITIES)
    secret = await secret_of(user, source)
    path = f"/webhooks/{source['id']}"

    async def need() -> WaitingSource | None:
        return await webhooks.needed_run(gateway.deps.database, SourceId(UUID(source["id"])))

    started = await user.post(f"/api/sources/{source['id']}/sync", {"entities": ["inventory"], "dry_run": True})
    assert started.status == 202
    assert await need() is None
    assert (await post(gateway, path, secret)).status == 202
    # The dry run would take no event: it becomes a real one.
    (run,) = await eventually(
        lambda: gateway.admin.fetch("select id from sync_runs where not dry_run"), bool, within=10
    )
    assert str(run["id"]) == started.body["run_id"]
    assert await need() is None
    assert (await post(gateway, path, secret, {"events": [{"entity": "vendors", "op": "upsert"}]})).status == 202
    found = await eventually(lambda: runs_of(user, source), lambda runs: len(runs[0]["entities"]) == 2, within=10)
    assert len(found) == 1
    await user.post(f"/api/runs/{run['id']}/cancel")
    await user.post(f"/api/sources/{source['id']}/pause")
    assert await need() is None
    await gateway.admin.execute("update external_data_sources set paused_at = null")
    waiting = await need()
    assert waiting is not None
    assert waiting.entities == ("inventory", "vendors")
