"""Browsers: a cookie that scripts cannot read, a token against forged requests, a link that signs in once."""

import asyncio
import time
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

from fastapi import Request
from gateway_harness import Answer, Gateway, User, token

from services.gateway.routes.pages import front
from services.scheduler.retention import forget
from shared.sealing.keyring import generate_key
from shared.sealing.symmetric import SymmetricBox
from shared.storage.database import open_database
from shared.storage.sign_in import offer_code


def cookie_of(answer: Answer) -> str:
    morsel = SimpleCookie(answer.headers["set-cookie"])["headrace_session"]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Lax", "/")
    return f"headrace_session={morsel.value}"


async def signed_in(user: User) -> tuple[str, dict[str, Any]]:
    answer = await user.post("/api/session")
    assert answer.status == 200, answer.text
    return cookie_of(answer), answer.body


async def test_a_session_acts_for_its_user(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    cookie, session = await signed_in(user)
    shown = await gateway.call("GET", "/api/sources", None, {"Cookie": f"other=1; {cookie}"})
    assert [each["id"] for each in shown.body["items"]] == [source["id"]]
    again = await gateway.call("GET", "/api/session", None, {"Cookie": cookie})
    assert again.body == session
    assert session["csrf_token"] not in cookie


async def test_what_changes_something_needs_the_token(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    cookie, session = await signed_in(user)
    _, other = await signed_in(user)
    path = f"/api/sources/{source['id']}/pause"
    for wrong in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": other["csrf_token"]}):
        assert (await gateway.call("POST", path, None, {"Cookie": cookie} | wrong)).status == 403
    right = {"Cookie": cookie, "X-CSRF-Token": session["csrf_token"]}
    assert (await gateway.call("POST", path, None, right)).status == 200


async def test_a_cookie_that_proves_nothing_is_refused(gateway: Gateway, user: User) -> None:
    cookie, _ = await signed_in(user)
    foreign = SymmetricBox.parse(generate_key("k")).seal_text(b"{}", ("session/v1",))
    elsewhere = gateway.deps.webhook_box.seal_text(b"{}", ("webhook-secret/v1", "a", "b"))
    for text in (
        cookie[:-4],
        f"headrace_session={foreign}",
        f"headrace_session={elsewhere}",
        "headrace_session=",
        "=;",
    ):
        assert (await gateway.call("GET", "/api/sources", None, {"Cookie": text})).status == 401, text
    # A wrong bearer token is wrong, whatever cookie comes along.
    both = {"Cookie": cookie, "Authorization": "Bearer nonsense"}
    assert (await gateway.call("GET", "/api/sources", None, both)).status == 401


async def test_a_session_ends_with_what_proved_it(gateway: Gateway, user: User) -> None:
    soon = int(time.time()) + 1
    answer = await gateway.call("POST", "/api/session", None, {"Authorization": f"Bearer {token(user.id, exp=soon)}"})
    cookie = cookie_of(answer)
    assert answer.body["expires_at"] == soon
    await asyncio.sleep(1.1)
    assert (await gateway.call("GET", "/api/sources", None, {"Cookie": cookie})).status == 401


async def test_a_link_signs_in_once(gateway: Gateway, user: User) -> None:
    async with gateway.admin.acquire() as connection:
        code = await offer_code(connection, user.id, is_admin=True)  # type: ignore[arg-type] # a proxy of one
        old = await offer_code(connection, user.id, is_admin=True)  # type: ignore[arg-type] # a proxy of one
    await gateway.admin.execute(
        "update sign_in_codes set expires_at = now() where code_hash <> sha256($1)", code.encode()
    )
    first = await gateway.call("POST", "/api/session", {"code": code})
    assert (first.status, first.body["user_id"], first.body["is_admin"]) == (200, str(user.id), True)
    assert (await gateway.call("GET", "/api/sources", None, {"Cookie": cookie_of(first)})).status == 200
    for used in (code, old, "guess"):
        assert (await gateway.call("POST", "/api/session", {"code": used})).status == 401
    assert (await gateway.call("POST", "/api/session")).status == 401


async def test_a_link_that_is_opened_signs_the_browser_in(gateway: Gateway, user: User) -> None:
    async with gateway.admin.acquire() as connection:
        code = await offer_code(connection, user.id, is_admin=True)  # type: ignore[arg-type] # a proxy of one
    opened = await gateway.call("GET", f"/?code={code}")
    assert (opened.status, opened.headers["location"]) == (303, "/"), "the code leaves the address"
    assert opened.headers["referrer-policy"] == "no-referrer"
    assert code not in opened.text
    cookie = cookie_of(opened)
    assert (await gateway.call("GET", "/api/session", None, {"Cookie": cookie})).body["user_id"] == str(user.id)
    assert "You are signed in" in (await gateway.call("GET", "/", None, {"Cookie": cookie})).text
    for used in (code, "guess", "", "x" * 5_000):
        refused = await gateway.call("GET", f"/?code={used}")
        assert (refused.status, "set-cookie" in refused.headers) == (401, False)
        assert "used already" in refused.text
    assert code not in str(await gateway.admin.fetch("select * from sign_in_codes"))


async def test_a_session_begets_no_other_one(gateway: Gateway, user: User) -> None:
    cookie, session = await signed_in(user)
    headers = {"Cookie": cookie, "X-CSRF-Token": session["csrf_token"]}
    for body in (None, {}, {"code": "guess"}):
        answer = await gateway.call("POST", "/api/session", body, headers)
        assert (answer.status, "set-cookie" in answer.headers) == (401, False), "it would outlive a sign-out"
        assert answer.body["hint"]
    assert (await gateway.call("GET", "/api/session", None, headers)).body == session
    anew = await user.post("/api/session", Cookie=cookie)  # a bearer token proves the same as without a cookie
    assert (anew.status, cookie_of(anew) != cookie) == (200, True)


async def test_without_the_database_a_browser_is_shown_a_page(gateway: Gateway, user: User, database_url: str) -> None:
    cookie, _ = await signed_in(user)
    async with open_database(database_url, role="headrace_gateway") as gone:
        pass
    deps = replace(gateway.deps, database=gone)
    for query, headers in ((b"", [(b"cookie", cookie.encode())]), (b"code=guess", [])):
        answer = await front(Request({"type": "http", "query_string": query, "headers": headers}), deps)
        assert (answer.status_code, answer.media_type) == (503, "text/html")
        assert b"in a moment" in answer.body


async def test_signing_out_takes_the_cookie_back(gateway: Gateway, user: User) -> None:
    cookie, session = await signed_in(user)
    answer = await gateway.call(
        "DELETE", "/api/session", None, {"Cookie": cookie, "X-CSRF-Token": session["csrf_token"]}
    )
    assert answer.status == 204
    assert SimpleCookie(answer.headers["set-cookie"])["headrace_session"].value == ""


async def test_a_session_that_was_signed_out_of_counts_nowhere_any_more(
    gateway: Gateway, user: User, database_url: str
) -> None:
    (cookie, session), (other, _) = await signed_in(user), await signed_in(user)
    headers = {"Cookie": cookie, "X-CSRF-Token": session["csrf_token"]}
    assert (await gateway.call("DELETE", "/api/session", None, {"Cookie": cookie})).status == 403
    assert (await gateway.call("GET", "/api/session", None, {"Cookie": cookie})).status == 200
    for _ in range(2):
        assert (await gateway.call("DELETE", "/api/session", None, headers)).status == 204
    for method, path in (("GET", "/api/sources"), ("GET", "/api/session"), ("POST", "/api/session")):
        assert (await gateway.call(method, path, None, headers)).status == 401, path
    assert "You are signed in" not in (await gateway.call("GET", "/", None, headers)).text
    assert (await gateway.call("GET", "/api/sources", None, {"Cookie": other})).status == 200

    assert session["csrf_token"] not in str(await gateway.admin.fetch("select * from ended_sessions"))
    async with open_database(database_url, role="headrace_scheduler") as database:
        for age, left in (("0 minutes", 1), ("59 minutes", 1), ("61 minutes", 0)):
            await gateway.admin.execute(f"update ended_sessions set expires_at = now() - interval '{age}'")
            await forget(database)
            assert await gateway.admin.fetchval("select count(*) from ended_sessions") == left, age
