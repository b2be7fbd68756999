"""The webhook sender of the QuickBooks sandbox."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from quickbooks_rig import Rig, rig

from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.quickbooks.webhooks import RETRIES, WebhookTarget, sign
from sandboxes.serving import running


class Receiver:
    """An endpoint that keeps what it gets."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self.status = 200
        self.seconds = 0.0
        self.url = ""
        self.got = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.signatures.append(request.headers["intuit-signature"])
        self.got.set()
        await asyncio.sleep(self.seconds)
        return web.Response(status=self.status)

    def entities(self) -> list[list[dict[str, str]]]:
        return [
            entry["dataChangeEvent"]["entities"]
            for body in self.bodies
            for entry in json.loads(body)["eventNotifications"]
        ]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hook", found.take)
    async with running(app) as url:
        found.url = f"{url}/hook"
        yield found


@pytest.fixture
async def shop() -> AsyncIterator[Rig]:
    async with rig() as found:
        yield found


def test_the_signature_of_a_known_body() -> None:
    body = (
        b'{"eventNotifications":[{"realmId":"9130000000000001","dataChangeEvent":{"entities":[{"name":"Item","id":"7",'
        b'"operation":"Update","lastUpdated":"2026-05-20T17:03:11.000Z"}]}}]}'
    )
    assert sign(body, "example-verifier-token") == "+pvmEFS5YqFSq1/L0KaALNIjRYo+WXAQUSjMaAaQ1t4="


async def test_the_old_format(shop: Rig, receiver: Receiver) -> None:
    shop.state.webhooks.configure(WebhookTarget(url=receiver.url, offset_form=True))
    shop.state.change("Item", "7", {"Sku": "x"})
    shop.state.delete("PurchaseOrder", "3")
    shop.state.create("Vendor", {"DisplayName": "New"})
    shop.state.create("Customer", {"DisplayName": "Not asked for"})
    assert [one.status for one in await shop.state.webhooks.deliver()] == [200]
    assert receiver.entities() == [
        [
            {"name": "Item", "id": "7", "operation": "Update", "lastUpdated": "2026-05-20T10:03:11-0700"},
            {"name": "PurchaseOrder", "id": "3", "operation": "Delete", "lastUpdated": "2026-05-20T10:03:11-0700"},
            {"name": "Vendor", "id": "9", "operation": "Create", "lastUpdated": "2026-05-20T10:03:11-0700"},
        ]
    ]
    assert json.loads(receiver.bodies[0])["eventNotifications"][0]["realmId"] == DEFAULT_REALM
    assert receiver.signatures == [sign(receiver.bodies[0], "sandbox-verifier")]
    assert await shop.state.webhooks.deliver() == []


async def test_the_new_format_and_a_merge(shop: Rig, receiver: Receiver) -> None:
    target = WebhookTarget(url=receiver.url, format="cloudevents", entities=("Vendor",))
    shop.state.webhooks.configure(target)
    shop.state.merge("Vendor", "1", "2")
    await shop.state.webhooks.deliver()
    updated, merged = json.loads(receiver.bodies[0])
    assert (updated["type"], merged["type"]) == ("qbo.vendor.updated.v1", "qbo.vendor.merged.v1")
    assert (merged["intuitentityid"], merged["intuitaccountid"]) == ("1", DEFAULT_REALM)
    assert merged["specversion"] == "1.0"
    assert re.fullmatch(r"2026-05-20T17:03:11\.\d{9}Z", merged["time"])
    assert re.fullmatch(r"intuit\.[A-Za-z0-9+/=]+", merged["source"])
    assert updated["id"] != merged["id"]
    shop.state.webhooks.configure(WebhookTarget(url=receiver.url))
    shop.state.merge("Item", "1", "2")
    await shop.state.webhooks.deliver()
    entry = json.loads(receiver.bodies[-1])["eventNotifications"][0]["dataChangeEvent"]["entities"][-1]
    assert (entry["operation"], entry["id"], entry["deletedId"]) == ("Merge", "1", "2")


async def test_bundles_gather_for_a_while(shop: Rig, receiver: Receiver) -> None:
    shop.state.webhooks.configure(WebhookTarget(url=receiver.url, bundle_seconds=60))
    shop.state.change_percent("Item", 10)
    assert await shop.state.webhooks.deliver() == []
    shop.state.clock.advance(59)
    shop.state.change_percent("Item", 10)
    assert await shop.state.webhooks.deliver() == []
    shop.state.clock.advance(1)
    assert [one.events for one in await shop.state.webhooks.deliver()] == [8]
    shop.state.change_percent("Item", 10)
    assert [one.events for one in await shop.state.webhooks.deliver(everything=True)] == [4]


async def test_a_refusing_endpoint_is_tried_again_by_the_table_and_later_bundles_wait(
    shop: Rig, receiver: Receiver
) -> None:
    webhooks = shop.state.webhooks
    webhooks.configure(WebhookTarget(url=receiver.url))
    receiver.status = 500
    shop.state.change("Item", "1", {"Sku": "a"})
    assert [one.status for one in await webhooks.deliver()] == [500]
    shop.state.change("Item", "2", {"Sku": "b"})
    for seconds in (*RETRIES, RETRIES[-1]):
        shop.state.clock.advance(seconds - 1)
        assert await webhooks.deliver() == []
        shop.state.clock.advance(1)
        assert [one.status for one in await webhooks.deliver()] == [500]
    receiver.status = 200
    shop.state.clock.advance(RETRIES[-1])
    assert [one.status for one in await webhooks.deliver()] == [200, 200]
    assert len(set(receiver.bodies)) == 2
    assert webhooks.waiting == 0


async def test_an_endpoint_has_three_seconds(shop: Rig, receiver: Receiver) -> None:
    assert WebhookTarget(url=receiver.url).timeout_seconds == 3
    shop.state.webhooks.configure(WebhookTarget(url=receiver.url, timeout_seconds=0.1))
    receiver.seconds = 5
    shop.state.change("Item", "1", {"Sku": "a"})
    assert [one.status for one in await shop.state.webhooks.deliver()] == [0]
    assert len(receiver.bodies) == 1


async def test_duplicates_disorder_losses_and_wrong_signatures(shop: Rig, receiver: Receiver) -> None:
    webhooks = shop.state.webhooks
    target = WebhookTarget(url=receiver.url, duplicates=0.5, disorder=True, seed=3)
    webhooks.configure(target)
    ids = shop.state.change_percent("Item", 100)
    await webhooks.deliver()
    again, first = ([entry["id"] for entry in bundle] for bundle in receiver.entities())
    assert first == ids[::-1]
    assert 10 < len(again) < 30
    assert set(again) < set(first)
    webhooks.configure(msgspec.structs.replace(target, duplicates=0, lost=0.5, wrong_signature=True))
    shop.state.change_percent("Item", 100)
    (delivery,) = await webhooks.deliver()
    assert 10 < delivery.events < 30
    assert receiver.signatures[-1] != sign(receiver.bodies[-1], target.verifier_token)
    webhooks.configure(msgspec.structs.replace(target, realms=("77",)))
    shop.state.change("Item", "1", {"Sku": "z"})
    assert webhooks.waiting == 0


async def test_by_itself_when_something_changes_and_when_the_clock_moves(shop: Rig, receiver: Receiver) -> None:
    async def asleep() -> None:
        for _ in range(20):  # the sender has nothing to wait for on its way to sleep but its turn
            await asyncio.sleep(0)

    async def got() -> None:
        async with asyncio.timeout(10):
            await receiver.got.wait()
        receiver.got.clear()

    shop.state.webhooks.configure(WebhookTarget(url=receiver.url, automatic=True))
    await asleep()
    shop.state.change("Item", "1", {"Sku": "a"})
    await got()
    shop.state.webhooks.configure(WebhookTarget(url=receiver.url, automatic=True, bundle_seconds=300))
    shop.state.change("Item", "2", {"Sku": "b"})
    await asleep()
    shop.state.clock.advance(300)
    await got()
    assert [entry["id"] for bundle in receiver.entities() for entry in bundle] == ["1", "2"]


@pytest.mark.parametrize("url", ["https://example.com/hook", "http://10.0.0.1/", "ftp://127.0.0.1/", "hook"])
def test_webhooks_go_to_this_machine_only(url: Any) -> None:
    with pytest.raises(ValueError, match="loopback"):
        WebhookTarget(url=url)
