"""The QuickBooks sandbox driven over HTTP alone, and as a process of its own."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from quickbooks_rig import COMPANY, rig
from sandbox_process import sandbox_process

from sandboxes.serving import running


async def control(session: aiohttp.ClientSession, path: str, body: Any = None) -> tuple[int, Any]:
    """POST with a body, GET without."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    async with session.request(method, f"/_control/{path}", data=None if body is None else data) as response:
        return response.status, json.loads(await response.read(), parse_float=Decimal)


async def test_data_over_http() -> None:
    async with rig() as shop:
        session, state = shop.session, shop.state

        async def edit(kind: str, **members: Any) -> tuple[int, Any]:
            return await control(session, f"edit/{kind}", members)

        exact = b'{"entity":"Item","id":"1","fields":{"UnitPrice":18.50}}'
        assert await control(session, "edit/change", exact) == (200, {"ok": True})
        assert str(state.records("Item")[0]["UnitPrice"]) == "18.50"
        assert await edit("create", entity="Vendor", fields={"DisplayName": "X"}) == (200, {"id": "9"})
        assert await edit("deactivate", entity="Vendor", id="9") == (200, {"ok": True})
        assert (await edit("delete", entity="PurchaseOrder", id="2"))[0] == 200
        assert (await edit("merge", entity="Vendor", id="1", gone="3"))[0] == 200
        assert (await edit("receive", id="3", line=state.records("PurchaseOrder")[1]["Line"][0]["Id"], quantity="2"))[
            0
        ] == 200
        assert len((await edit("change-percent", entity="Item", percent=10))[1]["changed"]) == 4
        assert await control(session, "records/Vendor") == (200, state.records("Vendor"))
        assert (await edit("create", entity="Vendor", fields={"DisplayName": "X"}))[0] == 400
        assert (await edit("change", entity="Item", id="999"))[0] == 404
        assert (await edit("change", entity="Odd", id="1"))[0] == 400
        assert (await edit("change", entity="Item", id="1", fields=[]))[0] == 400
        assert (await edit("odd"))[0] == 404
        assert (await control(session, "records/Nothing"))[0] == 404
        company = {"realm": "77", "name": "Second", "items": 3, "vendors": 1, "orders": 1}
        assert (await control(session, "companies", company))[0] == 200
        assert len((await control(session, "records/Item?realm=77"))[1]) == 3


async def test_switches_faults_clock_and_log_over_http() -> None:
    async with rig() as shop:
        session, state = shop.session, shop.state
        assert (await control(session, "switches", {"batch_max": 10}))[1]["batch_max"] == 10
        assert state.switches.realm_limits == ()  # what is not named stays
        assert (await control(session, "switches", {"realm_limits": [[2, 60]]}))[0] == 200
        assert (await control(session, "switches", {"odd": 1}))[0] == 400
        assert (await control(session, "vendor-faults", [{"form": "html", "status": 502, "count": 1}]))[0] == 200
        assert (await control(session, "vendor-faults", [{"code": "1"}]))[0] == 400
        found = []
        for _ in range(3):
            async with session.get(f"{COMPANY}/item/1", headers=shop.headers()) as response:
                found.append(response.status)
        assert found == [502, 200, 429]
        assert (await control(session, "vendor-faults"))[1][0]["hits"] == 1
        windows = (await control(session, "windows?window=60"))[1]
        assert (windows["worst_of_realms"], windows["max_in_flight"]) == (3, {"9130000000000001/sandbox-client": 1})
        arrivals = (await control(session, "arrivals?window=60&account=9130000000000001"))[1]
        assert [a["status"] for a in arrivals["arrivals"]] == found
        assert (await control(session, "clock", {"seconds": 86_400}))[1] == {"now": "2026-05-21T17:03:11Z"}
        assert (await control(session, "clock", {"seconds": -1}))[0] == 400
        assert (await control(session, "faults", [{"kind": "status", "status": 500}]))[0] == 200
        async with session.get("/.well-known/openid_configuration") as response:
            assert response.status == 500
        assert (await control(session, "webhooks", {"url": "http://127.0.0.1:1"}))[0] == 200
        assert (await control(session, "reset", {}))[0] == 200
        assert state.switches.batch_max == 30
        assert state.arrivals == []
        assert state.webhooks.target is None


async def test_tokens_over_http() -> None:
    async with rig() as shop:
        session = shop.session
        assert (await control(session, "apps", {"client_id": "second", "client_secret": "s"}))[0] == 200
        status, reply = await control(session, "grant", {"client_id": "second"})
        assert (status, reply["realmId"]) == (200, "9130000000000001")
        assert (await control(session, "grant", {"realm": "1"}))[0] == 404
        faults = [{"kind": "hold", "when": "after"}, {"kind": "drop", "when": "after", "count": 1}]
        assert (await control(session, "exchange-faults", faults))[0] == 200
        task = asyncio.create_task(shop.refresh())
        async with asyncio.timeout(10):
            while not (await control(session, "exchanges"))[1]["exchanges"]:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.01)
        assert (await control(session, "exchange-release", {}))[0] == 200
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], aiohttp.ServerDisconnectedError)
        assert (await control(session, "end-grants", {}))[0] == 200
        report = (await control(session, "exchanges"))[1]
        assert (report["max_in_flight"], report["lost"]) == (1, [1, 2])
        assert [grant["ended"] for grant in report["grants"]] == ["ended by the user"] * 2
        assert shop.tokens["refresh_token"] not in json.dumps(report, default=str)


async def test_webhooks_over_http() -> None:
    got: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with rig() as shop, running(app) as url:
        assert (await control(shop.session, "webhooks", {"url": "https://example.com"}))[0] == 400
        assert (await control(shop.session, "webhooks", {"url": url, "bundle_seconds": 60}))[0] == 200
        shop.state.change("Item", "1", {"Sku": "a"})
        assert (await control(shop.session, "webhooks/deliver", {}))[1] == {"tries": []}
        tries = (await control(shop.session, "webhooks/deliver?everything=1", {}))[1]["tries"]
        assert tries == [{"status": 200, "events": 1}]
        report = (await control(shop.session, "webhooks"))[1]
        assert (report["waiting"], report["tries"][0]["body"]) == (0, got[0].decode())


async def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    options = ("--products", "30", "--vendors", "3", "--orders", "4", "--seed", "2", "--limit", "3/60", "--bearer", "t")
    headers = {"Authorization": "Bearer t", "Accept": "application/json"}
    found: list[Any] = []
    async with (
        sandbox_process(tmp_path, "quickbooks", *options) as url,
        aiohttp.ClientSession(url, headers=headers) as session,
    ):
        for entity in ("Item", "Vendor", "PurchaseOrder"):
            query = {"query": f"SELECT COUNT(*) FROM {entity}"}
            async with session.get(f"{COMPANY}/query", params=query) as response:
                found.append((await response.json())["QueryResponse"]["totalCount"])
        async with session.get(f"{COMPANY}/item/1") as response:
            found.append(response.status)
    assert found == [29, 3, 4, 429]
