"""Limits and fault forms of the QuickBooks sandbox."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from quickbooks_rig import COMPANY, UNLIMITED, Rig, rig

from sandboxes.behaviour.faults import FaultRule
from sandboxes.quickbooks.faults import VendorFault
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import App


async def status(shop: Rig, path: str = "/item/1", **headers: str) -> int:
    async with shop.session.get(COMPANY + path, headers={**shop.headers(), **headers}) as response:
        await response.read()
        return response.status


async def test_ten_in_a_second_and_500_in_a_minute() -> None:
    async with rig(switches=Switches()) as shop:
        found = []
        for _ in range(50):
            found += [await status(shop) for _ in range(10)]
            shop.state.clock.advance(1)
        assert set(found) == {200}
        assert await status(shop) == 429  # the 501st within the minute
        shop.state.clock.advance(10)
        assert [await status(shop) for _ in range(10)] == [200] * 9 + [429]  # the refused one counted
        assert shop.state.limits.realms.worst_window(60) == 501
        assert shop.state.behaviour.log.worst_window(1) == 10
        shop.state.clock.advance(60)
        assert [await status(shop) for _ in range(12)] == [200] * 10 + [429] * 2


async def test_realms_and_apps_are_counted_apart() -> None:
    async with rig(switches=Switches(app_limits=((2, 1.0),), realm_limits=((3, 60.0),))) as shop:
        shop.state.add_app(App("second", "s"))
        shop.state.add_company("77", "Other", Size(1, 1, 0))
        other = {"Authorization": f"Bearer {shop.state.grant(client_id='second')['access_token']}"}
        assert [await status(shop) for _ in range(2)] == [200, 200]
        assert await status(shop, **other) == 200  # another app has its own second
        assert await status(shop, **other) == 429  # and shares the realm's minute
        theirs = {"Authorization": f"Bearer {shop.state.grant('77')['access_token']}", "Accept": "application/json"}
        async with shop.session.get("/v3/company/77/companyinfo/77", headers=theirs) as response:
            assert response.status == 200


async def test_batches_have_limits_of_their_own() -> None:
    switches = msgspec.structs.replace(UNLIMITED, batch_app_limits=((2, 60.0),), batch_realm_limits=((3, 60.0),))
    async with rig(switches=switches) as shop:
        shop.state.add_app(App("second", "s"))
        body = {"BatchItemRequest": [{"bId": "1", "Query": "SELECT * FROM Term"}]}
        other = {"Authorization": f"Bearer {shop.state.grant(client_id='second')['access_token']}"}
        found = []
        for headers in (shop.headers(), shop.headers(), other, other, shop.headers()):
            async with shop.session.post(f"{COMPANY}/batch", json=body, headers=headers) as response:
                found.append(response.status)
        assert found == [200, 200, 200, 429, 429]
        assert await status(shop) == 200


async def test_ten_at_once() -> None:
    async with rig(still=False) as shop:
        shop.state.behaviour.faults.set(FaultRule(kind="delay", ms=300))
        found = await asyncio.gather(*(status(shop) for _ in range(12)))
        assert sorted(found) == [200] * 10 + [429] * 2
        assert max(shop.state.limits.max_in_flight.values()) == 11  # what is refused leaves at once
        assert set(shop.state.limits.in_flight.values()) == {0}
        shop.state.switches = msgspec.structs.replace(UNLIMITED, concurrency=None)
        assert set(await asyncio.gather(*(status(shop) for _ in range(12)))) == {200}


@pytest.mark.parametrize(
    ("form", "kind", "part"),
    [
        ("xml", "application/xml", '<Fault type="SERVICE"><Error code="3001">'),
        ("Fault", "application/json", '"code":"3001","element":""}],"type":"SERVICE"}'),
        ("fault", "application/json", '"fault":{"error":[{"message":"message=ThrottleExceeded'),
    ],
)
async def test_the_forms_of_a_429(form: Any, kind: str, part: str) -> None:
    switches = msgspec.structs.replace(UNLIMITED, realm_limits=((1, 60.0),), throttle_body=form)
    async with rig(switches=switches) as shop:
        assert await status(shop) == 200
        async with shop.session.get(f"{COMPANY}/item/1", headers=shop.headers()) as response:
            assert (response.status, response.content_type) == (429, kind)
            assert part in await response.text()
            assert "Retry-After" not in response.headers
        shop.state.switches = msgspec.structs.replace(switches, retry_after=True)
        async with shop.session.get(f"{COMPANY}/item/1", headers=shop.headers()) as response:
            assert response.headers["Retry-After"] == "60"


async def test_the_forms_of_a_401_and_a_403() -> None:
    async with rig() as shop:
        shop.state.add_company("77", "Other", Size(1, 1, 0), environment="production")

        async def answer(path: str, **headers: str) -> tuple[int, str]:
            headers = {"Accept": "application/json", **headers}
            async with shop.session.get(path, headers=headers) as response:
                return response.status, await response.text()

        code, text = await answer(f"{COMPANY}/item/1", Authorization="Bearer wrong")
        assert code == 401
        assert '"detail":"Malformed bearer token: wrong","code":"3200"' in text
        assert '"type":"AUTHENTICATION"' in text
        assert (await answer(f"{COMPANY}/item/1"))[0] == 401
        shop.state.switches = msgspec.structs.replace(UNLIMITED, echo_token=False, other_realm_status=403)
        code, text = await answer(f"{COMPANY}/item/1", Authorization="Bearer wrong")
        assert "wrong" not in text
        code, text = await answer("/v3/company/77/item/1", **shop.headers())
        assert code == 403
        assert '<Error code="100">' in text
        assert "SRV-110" in text
        code, text = await answer("/v3/company/88/item/1", **shop.headers())
        assert code == 403  # a company that does not exist is told from no other
        token = shop.state.grant("77")["access_token"]
        code, text = await answer("/v3/company/77/item/1", Authorization=f"Bearer {token}")
        assert code == 403
        assert '"code":"3100"' in text


async def test_faults_in_the_vendors_forms() -> None:
    async with rig() as shop:
        shop.state.faults.set(
            VendorFault(code="6190", status=200, count=1),
            VendorFault(form="html", count=1),
            VendorFault(form="gateway", status=504, count=1),
            VendorFault(form="xml", code="120", count=1),
            VendorFault(form="fault", code="100", count=1),
            VendorFault(count=1),
            VendorFault(form="drop", path=f"{COMPANY}/vendor"),
        )
        found = []
        for _ in range(7):
            async with shop.session.get(f"{COMPANY}/item/1", headers=shop.headers()) as response:
                found.append((response.status, response.content_type, (await response.text())[:9]))
        assert found == [
            (200, "application/json", '{"Fault":'),
            (503, "text/html", "<html><he"),
            (504, "application/octet-stream", ""),
            (401, "application/xml", "<?xml ver"),
            (401, "application/json", '{"warning'),
            (500, "application/json", '{"Fault":'),
            (200, "application/json", '{"Item":{'),
        ]
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await status(shop, "/vendor/1")
        assert [hits for _, hits in shop.state.faults.hits()][:6] == [1] * 6


async def test_a_write_whose_answer_is_lost_is_done_and_its_requestid_finds_it() -> None:
    async with rig() as shop:
        shop.state.faults.set(VendorFault(form="html", status=503, after=True, count=1))
        parameters = {"requestid": "r-1"}
        for expected in (503, 200):
            async with shop.session.post(
                f"{COMPANY}/item", json={"Name": "once"}, params=parameters, headers=shop.headers()
            ) as response:
                assert response.status == expected
                body = await response.read()
                assert len(shop.state.records("Item")) == 41
        assert b'"Id":"41"' in body


async def test_a_request_ends_with_a_gateway_error_when_it_takes_too_long() -> None:
    async with rig(switches=msgspec.structs.replace(UNLIMITED, timeout_seconds=0.05)) as shop:
        shop.state.behaviour.faults.set(FaultRule(kind="delay", ms=5000))
        assert await status(shop) == 504


async def test_paths_subscriptions_and_minor_versions() -> None:
    async with rig() as shop:
        assert await status(shop, "/nothing/1") == 404
        assert await status(shop, "/") == 404
        assert [await status(shop, f"/item/1{end}") for end in ("", "?minorversion=4", "?minorversion=75")] == [200] * 3
        for path, code in (("lapsed", 400), ("lapsed_in_200", 200)):
            shop.state.switches = msgspec.structs.replace(UNLIMITED, subscription=path)
            answer = await shop.call("GET", "/item/1")
            assert (answer[0], answer[1]["Fault"]["Error"][0]["code"]) == (code, "6190")
        shop.state.switches = msgspec.structs.replace(UNLIMITED, require_minor_version=True)
        assert await status(shop) == 400
        assert (await shop.call("GET", "/item/1"))[0] == 200
        assert shop.state.arrivals[-1].path == f"{COMPANY}/item/1?minorversion=75"
        assert shop.state.arrivals[-1].account == "9130000000000001"
