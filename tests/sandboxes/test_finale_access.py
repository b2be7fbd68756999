"""Who may call the Finale sandbox, what wrong addresses give, and driving it from another process."""

import base64
import html
from pathlib import Path

import aiohttp
import pytest
from finale_client import BASIC, Client, serving, small_shop
from sandbox_process import sandbox_process

from sandboxes.behaviour.auth import Auth

REPORT = "/acme/doc/report/pivotTable/1717171717171/Report.csv?format=csv&data=product"


@pytest.mark.parametrize("shown", ["", "Bearer key", "Basic !", "Basic " + base64.b64encode(b"key:wrong").decode()])
async def test_a_wrong_key_is_401_and_for_a_report_a_login_page(shown: str) -> None:
    async with serving(small_shop().state) as client:
        answer = await client.call("GET", "/acme/api/product/", Authorization=shown)
        assert answer.status == 401
        assert not answer.headers["Content-Type"].startswith("application/json")
        assert (await client.call("POST", "/acme/api/graphql", {"query": "{}"}, Authorization=shown)).status == 401
        page = await client.call("GET", REPORT, Authorization=shown)
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"Sign in" in page.body
        assert (await client.call("GET", REPORT)).headers["Content-Type"].startswith("text/csv")


async def test_a_key_opens_its_own_account_only() -> None:
    shop = small_shop()
    foreign = "Basic " + base64.b64encode(b"foreign:secret").decode()
    other = "Basic " + base64.b64encode(b"other:secret").decode()
    async with serving(shop.state) as client:
        assert (await client.call("GET", "/acme/api/product/", Authorization=foreign)).status == 401
        assert (await client.call("GET", "/acme/api/product/", Authorization=other)).status == 200
        answer = await client.call("GET", "/elsewhere/api/product/", Authorization=foreign)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert [arrival.account for arrival in shop.state.arrivals] == ["nobody", "acme", "nobody"]


@pytest.mark.parametrize(
    "path", ["party", "partyGroup/", "vendor/", "report/", "product/NOPE", "shipment/1", "order/1/x"]
)
async def test_what_does_not_exist_is_a_404_in_html(path: str) -> None:
    async with serving(small_shop().state) as client:
        answer = await client.call("GET", f"/acme/api/{path}")
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("text/html")


async def test_the_404_without_the_slash_spells_each_character_as_an_entity() -> None:
    async with serving(small_shop().state) as client:
        answer = await client.call("GET", "/acme/api/inventoryitem?limit=5")
        assert answer.status == 404
        assert "&#47;&#97;&#99;&#109;&#101;&#47;" in answer.text
        assert "\r\n" in answer.text
        assert "\n" not in answer.text.replace("\r\n", "")
        flat = html.unescape(answer.text).replace("\r\n", "")
        assert flat == (
            "<html><title> Not Found </title><body><h2> Not Found </h2>"
            "<p>The requested URL /acme/api/inventoryitem was not found on the server.</p></body></html>"
        )
        for path in ("product", "order", "facility", "partygroup", "shipment", "inventoryitem/"):
            assert (await client.call("GET", f"/acme/api/{path}")).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_there_is_no_other_method(method: str) -> None:
    async with serving(small_shop().state) as client:
        assert (await client.call(method, "/acme/api/product/BOLT-1", {})).status == 405
        assert (await client.call(method, "/acme/api/graphql", {})).status == 405


async def test_everything_over_http() -> None:
    shop = small_shop()
    state = shop.state
    async with serving(state) as client:

        async def control(path: str, body: object) -> int:
            return (await client.call("POST", f"/_control/{path}", body, Authorization="")).status

        assert await control("switches", {"quantities_as_text": True, "window_scale": 0.1}) == 200
        assert state.switches.quantities_as_text
        assert await control("spoils", [{"kind": "error_object", "count": 1}]) == 200
        assert (await client.get("product/"))["success"] is False
        (spoil,) = await client.get("/_control/spoils")
        assert (spoil["rule"]["kind"], spoil["hits"]) == ("error_object", 1)
        assert await control("clock", {"hold": "2026-07-01T03:04:05Z"}) == 200
        edit = b'{"resource":"product","url":"/acme/api/product/BOLT-1","fields":{"cost":1.50}}'
        assert await control("edit", edit) == 200
        assert str(state.store.get("product", shop.bolt)["cost"]) == "1.50"
        assert state.store.get("product", shop.bolt)["lastUpdatedDate"] == "2026-06-30T23:04:05"
        assert await control("clock", {"advance": 60}) == 200
        assert state.store.stamp() == "2026-06-30T23:05:05"
        assert await control("add", {"resource": "product", "fields": {"productId": "NEW"}}) == 200
        assert await control("add", {"resource": "partygroup", "fields": {"groupName": "New"}}) == 200
        order = {"orderTypeId": "PURCHASE_ORDER", "orderItemList": [{"productUrl": shop.bolt, "quantity": 5}]}
        assert await control("add", {"resource": "order", "fields": order}) == 200
        (url,) = [record["orderUrl"] for record in state.records("order")]
        assert await control("act", {"url": url, "action": "lock"}) == 200
        assert await control("act", {"url": url, "action": "lock"}) == 400
        assert await control("act", {"url": shop.kit, "action": "deactivate"}) == 200
        assert await control("receive", {"url": url, "quantities": {shop.bolt: 2}}) == 200
        assert await control("receive", {"url": url, "quantities": 2}) == 400
        assert await control("stock", {"product": shop.kit, "facility": shop.bins[0], "difference": 3}) == 200
        assert [row["quantityOnHand"] for row in await client.get("/_control/records/inventoryitem")] == [3, 0]
        assert len(await client.get("/_control/records/product")) == 3
        assert (await client.get("/_control/rates"))["get"] == {"count": 120, "seconds": 6, "worst": 1}
        assert await control("edit", {"resource": "product", "url": "/nowhere", "fields": {}}) == 404
        assert await control("switches", {"window_scale": 0}) == 400
        assert await control("spoils", [{"kind": "odd"}]) == 400
        assert await control("stock", {"product": shop.kit, "facility": shop.bins[0], "difference": "3"}) == 400
        assert await control("reset", {}) == 200
        assert (state.records("product"), state.arrivals, state.switches.window_scale) == ([], [], 1.0)


async def test_a_process_of_its_own(tmp_path: Path) -> None:
    options = ("--products", "40", "--account", "shop", "--key", "k", "--secret", "s", "--window-scale", "0.5")
    async with sandbox_process(tmp_path, "finale", *options) as url, aiohttp.ClientSession(url) as session:
        key = "Basic " + base64.b64encode(b"k:s").decode()
        answer = await Client(session).call("GET", "/shop/api/product/", Authorization=key)
        assert len(answer.json["productUrl"]) == 40
        assert answer.json["productUrl"][0].startswith("/shop/api/product/")


async def test_without_a_key_when_the_shop_asks_for_none() -> None:
    shop = small_shop()
    shop.state.behaviour.auth = Auth()
    async with serving(shop.state) as client:
        assert (await client.call("GET", "/acme/api/product/", Authorization="")).status == 200
        shop.state.behaviour.auth = BASIC
        assert (await client.call("GET", "/acme/api/product/", Authorization="")).status == 401
