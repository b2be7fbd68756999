"""The faults of the JSON API sandbox do what they say."""

import json
import time
from typing import Any

import aiohttp
import pytest
from json_api_client import get, status_of

from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.state import JsonApiState


async def test_fault_status_with_headers_for_the_next_two(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.faults.set(
        FaultRule(kind="status", status=429, headers={"Retry-After": "7"}, path="/products", skip=1, count=2)
    )
    assert await status_of(session, "/suppliers") == 200
    assert await status_of(session, "/products") == 200
    async with session.get("/products") as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert [await status_of(session, "/products") for _ in range(2)] == [429, 200]
    assert [hits for _, hits in state.behaviour.faults.hits()] == [2]


async def test_fault_with_a_probability_is_the_same_for_the_same_seed(
    state: JsonApiState, session: aiohttp.ClientSession
) -> None:
    runs = []
    for _ in range(2):
        state.behaviour.faults.set(FaultRule(kind="status", status=503, probability=0.5, seed=4))
        runs.append([await status_of(session, "/products/1") for _ in range(20)])
    assert runs[0] == runs[1]
    assert 3 < runs[0].count(503) < 17


@pytest.mark.parametrize(("kind", "least"), [("delay", 0.15), ("trickle", 0.15)])
async def test_slow_answers(state: JsonApiState, session: aiohttp.ClientSession, kind: Any, least: float) -> None:
    state.behaviour.faults.set(FaultRule(kind=kind, ms=200))
    started = time.perf_counter()
    assert len(await get(session, "/products")) == 77
    assert time.perf_counter() - started > least


async def test_fault_drop(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.faults.set(FaultRule(kind="drop"))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await status_of(session, "/products")
    assert {arrival.status for arrival in state.arrivals} == {0}
    assert state.behaviour.log.in_flight == 0


@pytest.mark.parametrize("chunked", [False, True])
async def test_fault_cut(state: JsonApiState, session: aiohttp.ClientSession, chunked: bool) -> None:
    whole = len(json.dumps(await get(session, "/products"), default=str))
    state.behaviour.faults.set(FaultRule(kind="cut", chunked=chunked))
    async with session.get("/products") as response:
        assert response.status == 200
        assert ("Content-Length" in response.headers) is not chunked
        piece = await response.content.readany()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
    assert 0 < len(piece) < whole
    assert state.arrivals[-1].status == 0


async def test_faults_of_the_body(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    async def spoiled(rule: FaultRule, path: str = "/products") -> tuple[str, bytes]:
        state.behaviour.faults.set(rule)
        async with session.get(path) as response:
            assert response.status == 200
            return response.headers["Content-Type"], await response.read()

    kind, body = await spoiled(FaultRule(kind="empty"))
    assert (kind, body) == ("application/json", b"")
    kind, body = await spoiled(FaultRule(kind="html"))
    assert kind.startswith("text/html")
    assert body.startswith(b"<!doctype html>")
    _, body = await spoiled(FaultRule(kind="truncated_json"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert isinstance(json.loads((await spoiled(FaultRule(kind="wrong_type")))[1]), dict)
    _, body = await spoiled(FaultRule(kind="wrong_type"), "/page/products?page=1")
    assert isinstance(json.loads(body)["items"], dict)
    kind, body = await spoiled(FaultRule(kind="wrong_encoding"))
    assert kind == "application/json; charset=utf-8"
    with pytest.raises(UnicodeDecodeError):
        body.decode()
    assert "Côte de Blaye" in body.decode("latin-1")
    _, body = await spoiled(FaultRule(kind="deep_nesting", depth=5000))
    assert body == b"[" * 5000 + b"]" * 5000


async def test_fault_gzip_bomb(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.faults.set(FaultRule(kind="gzip_bomb", size=5_000_000))
    async with session.get("/products") as response:
        assert int(response.headers["Content-Length"]) < 20_000
        assert [len(word) for word in json.loads(await response.read())] == [5_000_000]


async def test_fault_page_loop(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    first = await get(session, "/cursor/products?limit=5")
    state.behaviour.faults.set(FaultRule(kind="page_loop"))
    second = await get(session, f"/cursor/products?limit=5&cursor={first['next_cursor']}")
    assert second["next_cursor"] == first["next_cursor"]
    body = await get(session, "/link/products?size=5&after=5")
    assert body["next"] == "/link/products?size=5&after=5"
    assert (await get(session, "/page/products?page=3&size=5"))["items"][0]["productID"] == 1
    assert (await get(session, "/offset/products?offset=9&limit=5"))["results"][0]["productID"] == 1


async def test_fault_redirect(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    state.behaviour.faults.set(FaultRule(kind="redirect", url="http://169.254.169.254/secret"))
    async with session.get("/products", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "http://169.254.169.254/secret")
