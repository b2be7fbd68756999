"""Sign-in and tokens of the QuickBooks sandbox: the consent page, rotation, clocks, and the log of exchanges."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest
from quickbooks_rig import UNLIMITED, Rig, basic, rig

from sandboxes.quickbooks.faults import ExchangeFault
from sandboxes.quickbooks.tokens import DEFAULT_REALM, SCOPE, App

DAY = 86_400
BACK = "http://127.0.0.1:1/callback"
ASKED = {
    "client_id": "sandbox-client",
    "response_type": "code",
    "scope": SCOPE,
    "redirect_uri": BACK,
    "state": "s<&\"'",
}


@pytest.fixture
async def shop() -> AsyncIterator[Rig]:
    async with rig() as found:
        yield found


def switch(shop: Rig, **values: Any) -> None:
    shop.state.switches = msgspec.structs.replace(UNLIMITED, **values)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what the server sees has no event
            await asyncio.sleep(0.005)


async def consent(shop: Rig, decision: str = "connect", **other: str) -> dict[str, list[str]]:
    form = {**ASKED, "realm": DEFAULT_REALM, "decision": decision, **other}
    async with shop.session.post("/connect/oauth2", data=form, allow_redirects=False) as response:
        assert response.status == 302
        location = response.headers["Location"]
        assert location.startswith(BACK + "?")
        return parse_qs(urlsplit(location).query)


async def code_of(shop: Rig) -> dict[str, str]:
    code = (await consent(shop))["code"][0]
    return {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}


async def test_the_consent_page_sends_the_user_back_with_a_code(shop: Rig) -> None:
    async with shop.session.get("/connect/oauth2", params=ASKED) as response:
        text = await response.text()
    assert re.search(r'name="state" value="s&lt;&amp;&quot;&#x27;"', text)
    assert f'<option value="{DEFAULT_REALM}">Sandbox Company</option>' in text
    found = await consent(shop)
    assert (found["state"], found["realmId"]) == ([ASKED["state"]], [DEFAULT_REALM])
    form = {"grant_type": "authorization_code", "code": found["code"][0], "redirect_uri": BACK}
    status, reply = await shop.token(form)
    assert status == 200
    assert set(reply) == {"token_type", "access_token", "expires_in", "refresh_token", "x_refresh_token_expires_in"}
    assert (reply["token_type"], reply["expires_in"], reply["x_refresh_token_expires_in"]) == ("bearer", 3600, 8726400)
    shop.tokens = reply
    assert (await shop.call("GET", f"/companyinfo/{DEFAULT_REALM}"))[1]["CompanyInfo"]["Id"] == "1"
    assert (await shop.token(form))[1] == {
        "error": "invalid_grant",
        "error_description": "Invalid authorization code",
    }
    assert await consent(shop, "cancel") == {"error": ["access_denied"], "state": [ASKED["state"]]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "other"),
        ("redirect_uri", "https://example.com/callback"),
        ("redirect_uri", "http://[::1"),
        ("response_type", "token"),
        ("scope", "openid"),
        ("state", ""),
    ],
)
async def test_a_bad_request_is_never_sent_back(shop: Rig, name: str, value: str) -> None:
    async with shop.session.get("/connect/oauth2", params={**ASKED, name: value}) as response:
        assert (response.status, response.content_type) == (400, "text/html")
        assert name in await response.text()
    form = {**ASKED, name: value, "realm": DEFAULT_REALM, "decision": "connect"}
    async with shop.session.post("/connect/oauth2", data=form, allow_redirects=False) as response:
        assert response.status == 400


async def test_a_code_is_bound_to_its_app_its_address_and_its_minutes(shop: Rig) -> None:
    shop.state.add_app(App("other", "secret", redirect_uris=(BACK,)))
    form = await code_of(shop)
    assert (await shop.token({**form, "redirect_uri": BACK + "/"}))[1]["error"] == "invalid_grant"
    auth = {"Authorization": basic("other", "secret")}
    assert (await shop.token(await code_of(shop), **auth))[1]["error"] == "invalid_grant"
    form = await code_of(shop)
    shop.state.clock.advance(600)
    assert (await shop.token(form))[1]["error"] == "invalid_grant"
    wrong = {"Authorization": basic("sandbox-client", "guess")}
    assert await shop.token(await code_of(shop), **wrong) == (401, {"error": "invalid_client"})
    assert await shop.token(await code_of(shop), Authorization="Basic !") == (401, {"error": "invalid_client"})
    assert (await shop.token({"grant_type": "password"}))[1] == {"error": "unsupported_grant_type"}
    assert (await shop.refresh("RT1-none"))[1]["error"] == "invalid_grant"
    assert (await shop.refresh(**auth))[1]["error_description"] == "Incorrect Token type or clientID"


async def test_the_refresh_token_changes_once_a_day(shop: Rig) -> None:
    first = shop.tokens["refresh_token"]
    shop.state.clock.advance(DAY - 1)
    status, reply = await shop.refresh()
    assert (status, reply["refresh_token"]) == (200, first)
    assert reply["access_token"] != shop.tokens["access_token"]
    shop.state.clock.advance(1)
    second = (await shop.refresh())[1]["refresh_token"]
    assert second != first
    assert (await shop.refresh(first))[1] == {
        "error": "invalid_grant",
        "error_description": "Incorrect or invalid refresh token",
    }
    assert (await shop.refresh(second))[1]["refresh_token"] == second


async def test_grace_and_reuse_are_switches(shop: Rig) -> None:
    switch(shop, rotate_after_hours=0, grace_hours=24)
    first = shop.tokens["refresh_token"]
    second = (await shop.refresh(first))[1]["refresh_token"]
    assert second != first
    shop.state.clock.advance(DAY - 1)
    third = (await shop.refresh(first))[1]["refresh_token"]
    assert third not in (first, second)
    shop.state.clock.advance(1)
    switch(shop, rotate_after_hours=0, reuse="revoke", error_description=False)
    assert (await shop.refresh(first))[1] == {"error": "invalid_grant"}
    assert (await shop.refresh(third))[1] == {"error": "invalid_grant"}
    assert shop.state.tokens.grants[0].ended == "a replaced refresh token was used"


async def test_tokens_die_of_age(shop: Rig) -> None:
    shop.state.clock.advance(3599)
    assert (await shop.call("GET", "/item/1"))[0] == 200
    shop.state.clock.advance(1)
    status, body = await shop.call("GET", "/item/1")
    assert (status, body["fault"]["error"][0]["code"]) == (401, "3200")
    shop.state.clock.advance(100 * DAY - 3601)
    shop.tokens = (await shop.refresh())[1]  # each use starts the 100 days anew
    shop.state.clock.advance(100 * DAY - 1)
    shop.tokens = (await shop.refresh())[1]
    shop.state.clock.advance(100 * DAY)
    assert (await shop.refresh())[1]["error_description"] == "Token has been expired or revoked."


async def test_each_use_starts_the_hundred_days_anew_though_the_value_stays(shop: Rig) -> None:
    switch(shop, rotate_after_hours=10_000)
    for _ in range(3):
        shop.state.clock.advance(99 * DAY)
        assert (await shop.refresh())[1]["refresh_token"] == shop.tokens["refresh_token"]
    shop.state.clock.advance(100 * DAY)
    assert (await shop.refresh())[0] == 400


async def test_the_connection_ends_five_years_after_the_consent(shop: Rig) -> None:
    header = {"x-include-refresh-token-hard-expires-in": "true"}
    assert (await shop.refresh(**header))[1]["x_refresh_token_hard_expires_in"] == 157_680_000
    assert "x_refresh_token_hard_expires_in" not in (await shop.refresh())[1]
    for _ in range(19):
        shop.state.clock.advance(95 * DAY)
        shop.tokens = (await shop.refresh(**header))[1]
    left = 157_680_000 - 19 * 95 * DAY
    assert shop.tokens["x_refresh_token_hard_expires_in"] == left
    assert shop.tokens["x_refresh_token_expires_in"] == left
    shop.state.clock.advance(left)
    assert (await shop.refresh())[1]["error"] == "invalid_grant"


async def test_revoking_ends_the_connection(shop: Rig) -> None:
    async def revoke(token: str) -> int:
        auth = {"Authorization": basic("sandbox-client", "sandbox-secret")}
        async with shop.session.post("/v2/oauth2/tokens/revoke", json={"token": token}, headers=auth) as response:
            body = await response.read()
            assert response.status != 200 or body == b""
            return response.status

    assert await revoke("nothing") == 400
    assert await revoke(shop.tokens["access_token"]) == 200
    assert await revoke(shop.tokens["refresh_token"]) == 400
    assert (await shop.call("GET", "/item/1"))[0] == 401
    assert (await shop.refresh())[1]["error"] == "invalid_grant"
    outcomes = [(e.grant_type, e.outcome) for e in shop.state.sign_in.log.exchanges]
    assert outcomes[1:] == [("revoke", "ok"), ("revoke", "invalid_request"), ("refresh_token", "invalid_grant")]


@pytest.mark.parametrize(("concurrent", "second", "ended"), [("revoke", 400, 1), ("refuse", 400, 0), ("allow", 200, 0)])
async def test_two_refreshes_at_once(shop: Rig, concurrent: Any, second: int, ended: int) -> None:
    switch(shop, concurrent=concurrent)
    shop.state.sign_in.faults.set(ExchangeFault(kind="hold", count=1))
    first = asyncio.create_task(shop.refresh())
    await until(lambda: shop.state.tokens.grants[0].in_flight == 1)
    shop.state.clock.advance(1)
    assert (await shop.refresh())[0] == second
    shop.state.sign_in.gate.set()
    assert (await first)[0] == (400 if ended else 200)
    log = shop.state.sign_in.log
    assert log.max_in_flight() == 2
    assert len(log.lost(shop.state.tokens.grants)) == ended


async def test_refreshes_one_after_the_other_are_seen_as_such(shop: Rig) -> None:
    switch(shop, rotate_after_hours=0)
    for _ in range(3):
        shop.tokens = (await shop.refresh())[1]
    log = shop.state.sign_in.log
    assert log.max_in_flight() == 1
    assert log.lost(shop.state.tokens.grants) == []
    assert [(e.shown, e.issued, e.outcome, e.status) for e in log.exchanges] == [
        (1, 2, "ok", 200),
        (2, 3, "ok", 200),
        (3, 4, "ok", 200),
    ]


async def test_a_reply_lost_after_the_rotation_loses_the_grant_unless_there_is_grace(shop: Rig) -> None:
    switch(shop, rotate_after_hours=0, grace_hours=24)
    shop.state.sign_in.faults.set(ExchangeFault(kind="drop", when="after", count=1))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await shop.refresh()
    log, grants = shop.state.sign_in.log, shop.state.tokens.grants
    await until(lambda: log.exchanges[0].left is not None)
    assert (log.exchanges[0].issued, log.exchanges[0].status) == (2, 0)
    assert log.lost(grants) == [1]
    shop.tokens = (await shop.refresh())[1]
    assert log.lost(grants) == []


async def test_the_tokens_change_though_the_caller_went_away(shop: Rig) -> None:
    switch(shop, rotate_after_hours=0)
    shop.state.sign_in.faults.set(ExchangeFault(kind="hold", count=1))
    task = asyncio.create_task(shop.refresh())
    grant, log = shop.state.tokens.grants[0], shop.state.sign_in.log
    await until(lambda: grant.in_flight == 1)
    task.cancel()
    await until(lambda: log.exchanges[0].left is not None)
    assert grant.generation == 1
    shop.state.sign_in.gate.set()
    await until(lambda: grant.generation == 2)
    assert log.exchanges[0].status == 0
    assert log.lost(shop.state.tokens.grants) == [1]


async def test_a_retry_while_the_vendor_is_still_at_it_counts_as_two_at_once(shop: Rig) -> None:
    switch(shop, concurrent="refuse")
    shop.state.sign_in.faults.set(ExchangeFault(kind="hold", count=1))
    task = asyncio.create_task(shop.refresh())
    log = shop.state.sign_in.log
    await until(lambda: shop.state.tokens.grants[0].in_flight == 1)
    task.cancel()
    await until(lambda: log.exchanges[0].left is not None)
    assert (await shop.refresh())[0] == 400
    shop.state.sign_in.gate.set()
    await until(lambda: log.exchanges[0].ended is not None)
    assert log.max_in_flight() == 2
    assert (await shop.refresh())[0] == 200
    assert log.max_in_flight() == 2


async def test_a_server_error_before_or_after_the_rotation(shop: Rig) -> None:
    switch(shop, rotate_after_hours=0)
    shop.state.sign_in.faults.set(
        ExchangeFault(kind="status", status=502, count=1),
        ExchangeFault(kind="status", when="after", skip=1, count=1),
        ExchangeFault(kind="delay", ms=1, grant_type="authorization_code"),
    )
    grant = shop.state.tokens.grants[0]
    assert (await shop.refresh())[0] == 502
    assert grant.generation == 1
    assert (await shop.refresh())[0] == 503
    assert grant.generation == 2
    assert [hits for _, hits in shop.state.sign_in.faults.hits()] == [1, 1, 0]
    assert shop.state.sign_in.log.lost([grant]) == [1]


async def test_the_discovery_document_names_this_server(shop: Rig) -> None:
    for path in ("openid_configuration", "openid_sandbox_configuration/"):
        async with shop.session.get(f"/.well-known/{path}") as response:
            body = await response.json()
        assert body["token_endpoint"] == f"{shop.url}/oauth2/v1/tokens/bearer"
        assert SCOPE not in body["scopes_supported"]
    async with shop.session.get(body["userinfo_endpoint"]) as response:
        assert response.status == 401
    async with shop.session.get(body["jwks_uri"]) as response:
        assert await response.json() == {"keys": []}
