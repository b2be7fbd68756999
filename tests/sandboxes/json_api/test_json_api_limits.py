"""Whom the JSON API sandbox lets in, and how often: credentials and strict limits."""

import asyncio
import base64
from email.utils import parsedate_to_datetime

import aiohttp
from json_api_client import Steps, status_of

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.limits import Limits
from sandboxes.json_api.state import JsonApiState


async def test_credentials(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    basic = "Basic " + base64.b64encode("me:pä:ss".encode()).decode()
    cases: list[tuple[Auth, str, dict[str, str]]] = [
        (Auth("bearer", {"t": "a"}), "/products", {"Authorization": "Bearer t"}),
        (Auth("basic", {"me:pä:ss": "a"}), "/products", {"Authorization": basic}),
        (Auth("header", {"k": "a"}), "/products", {"X-Api-Key": "k"}),
        (Auth("query", {"k": "a"}, name="key", refusal=403), "/products?key=k", {}),
    ]
    for auth, path, headers in cases:
        state.behaviour.auth = auth
        assert await status_of(session, path, **headers) == 200
        assert state.arrivals[-1].account == "a"
        wrong = {name: value + "x" for name, value in headers.items()}
        assert await status_of(session, path + "x" if not headers else path, **wrong) == auth.refusal
        assert await status_of(session, "/products") == auth.refusal


async def test_limits_are_strict_and_count_refused_arrivals(
    state: JsonApiState, session: aiohttp.ClientSession, steps: Steps
) -> None:
    state.behaviour.limits = Limits(((3, 10.0), (5, 60.0)))
    assert [await status_of(session, "/products/1") for _ in range(3)] == [200, 200, 200]
    steps.now += 4.2
    async with session.get("/products/1") as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "6"  # 5.8 s until the second arrival leaves the window
    steps.now += 5.8
    assert await status_of(session, "/products/1") == 200
    assert await status_of(session, "/products/1") == 429  # the sixth within a minute
    assert state.worst_window(10.0) == 4
    assert state.worst_window(10.1) == 6
    assert [arrival.status for arrival in state.arrivals] == [200, 200, 200, 429, 200, 429]
    steps.now += 60
    assert await status_of(session, "/products/1") == 200


async def test_limits_are_per_account(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.auth = Auth("header", {"k1": "one", "k2": "one", "k3": "two"})
    state.behaviour.limits = Limits(((1, 10.0),))
    found = [await status_of(session, "/products/1", **{"X-Api-Key": key}) for key in ("k1", "k2", "k3")]
    assert found == [200, 429, 200]


async def test_retry_after_as_a_date_or_not_at_all(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.limits = Limits(((1, 30.0),), retry_after="date")
    assert await status_of(session, "/products/1") == 200
    async with session.get("/products/1") as response:
        moment = parsedate_to_datetime(response.headers["Retry-After"])
        assert 29 <= (moment - parsedate_to_datetime(response.headers["Date"])).total_seconds() <= 32
    state.behaviour.limits = Limits(((1, 30.0),), retry_after="none")
    async with session.get("/products/1") as response:
        assert response.status == 429
        assert "Retry-After" not in response.headers


async def test_requests_in_flight_are_counted(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.faults.set(FaultRule(kind="delay", ms=100))
    await asyncio.gather(*(status_of(session, "/products/1") for _ in range(5)))
    assert state.behaviour.log.max_in_flight == 5
    assert state.behaviour.log.in_flight == 0
