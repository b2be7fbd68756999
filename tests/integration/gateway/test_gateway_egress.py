"""Every place where a user can name an address, with every way to write one that nobody may dial: none is dialled."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from forbidden_addresses import HOSTS, SCHEMES, Listener, addresses, listening
from gateway_harness import Gateway, User, running_gateway
from told_names import ToldNames

from pipeline import eventually, running_pipeline
from sandboxes.serving import running
from services.gateway.signatures import generic_signature
from services.gateway.turns import PROBES_AT_ONCE
from shared.clock import SystemClock
from shared.connector_sdk.registry import discover_specs
from shared.errors import ConfigurationError, EgressRefusedError, HeadraceError, UnavailableError
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy
from shared.http.hop import HttpRequest
from shared.messaging.memory import MemoryBus

NONE: dict[str, str] = {"type": "none"}
_ALL = pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(300)])
EVERY = pytest.mark.parametrize("step", [3, _ALL])
"""Every third spelling where a place needs a story of its own; `make soak` takes all of them. The client takes all."""
RARELY = pytest.mark.parametrize("step", [6, _ALL])
"""Where that story is a whole run for each."""


def sources(source_type: str, address: str, base: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Config and credentials with the address in each place that the connector has for one."""
    if source_type == "json_api":
        plain = {"url": f"{base}/fine", "id_path": "id"}
        yield {"entities": {"inventory": plain | {"url": address}}}, NONE
        yield {"entities": {"inventory": plain | {"by_id_url": f"{address}{{id}}"}, "vendors": plain}}, NONE
        yield {"entities": {"inventory": plain | {"url": f"{base}/redirect?to={quote(address, safe='')}"}}}, NONE
    elif source_type == "csv_api":
        yield {"entities": {"inventory": {"url": address, "id_column": "id"}}}, NONE
        yield (
            {"entities": {"inventory": {"url": f"{base}/redirect?to={quote(address, safe='')}", "id_column": "id"}}},
            NONE,
        )
    elif source_type == "finale_inventory":
        origin = address.removesuffix("/latest?x=1").removesuffix("/")
        yield {"account": "shop", "base_url": origin}, {"api_key": "k", "api_secret": "s"}
    elif source_type == "quickbooks":
        for place in ("base_url", "token_url"):
            config = {"client_id": "app", "realm_id": "91300", "environment": "sandbox", place: address}
            yield config, {"client_secret": "s", "refresh_token": "r"}
    else:
        raise AssertionError(f"{source_type}: where can its user name an address?")


@dataclass
class World:
    gateway: Gateway
    user: User
    base: str
    listener: Listener


def sandbox() -> web.Application:
    """The one server that may be called; it sends its callers wherever they ask."""

    async def fine(_: web.Request) -> web.Response:
        return web.json_response([{"id": 1, "name": "bolt"}])

    async def redirect(request: web.Request) -> web.Response:
        target = request.query["to"].translate({10: None, 13: None})  # aiohttp sends no line breaks in headers
        return web.Response(status=307, headers={"Location": target})

    async def linked(request: web.Request) -> web.Response:
        return web.json_response({"items": [{"id": 1, "name": "bolt"}], "next": request.query["to"]})

    app = web.Application()
    app.router.add_get("/fine", fine)
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/linked", linked)
    return app


@pytest.fixture
async def world(database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[World]:
    bus = MemoryBus()
    async with (
        running(sandbox()) as base,
        listening() as listener,
        running_gateway(
            database_url, bus=bus, probe_timeout=15.0, egress_allow=base.removeprefix("http://")
        ) as gateway,
        running_pipeline(
            database_url, redis_url, redis_prefix, bus=bus, ring=gateway.ring,
            egress_allow=base.removeprefix("http://"),
        ),
    ):  # fmt: skip
        yield World(gateway, gateway.user(), base, listener)
    await bus.close()


async def tried(world: World, source_type: str, config: Any, credentials: Any) -> dict[str, Any]:
    body = {"source_type": source_type, "config": config, "credentials": credentials}
    answer = await world.user.post("/api/connectors/test", body)
    assert answer.status == 200, answer.text
    return dict(answer.body)


def test_the_corpus_is_large() -> None:
    assert len(set(HOSTS)) + len(set(SCHEMES)) == len(HOSTS) + len(SCHEMES) >= 90


@EVERY
async def test_no_configuration_leads_to_a_refused_address(world: World, step: int) -> None:
    good = {"entities": {"inventory": {"url": f"{world.base}/fine", "id_path": "id"}}}
    assert (await tried(world, "json_api", good, NONE))["ok"], "nothing at all can be called"
    wanted = [
        (name, address, *each)
        for name in discover_specs()
        for address in addresses(world.listener.port)[::step]
        for each in sources(name, address, world.base)
    ]
    few = asyncio.Semaphore(PROBES_AT_ONCE)  # so that none waits for its turn
    wrong: list[tuple[str, str, Any]] = []

    async def one(name: str, address: str, config: Any, credentials: Any) -> None:
        async with few:
            result = await tried(world, name, config, credentials)
        if result["ok"] and "by_id_url" not in json.dumps(config):  # which a test does not call
            wrong.append((name, address, config))
        elif not result["ok"] and result["category"] not in ("CONFIG_ERROR", "NETWORK_ERROR", "DATA_ERROR"):
            wrong.append((name, address, result))

    await asyncio.gather(*(one(*each) for each in wanted))
    assert wrong == []
    assert world.listener.heard == []
    assert len(wanted) >= 450 / step


async def test_no_link_to_the_next_page_leads_to_a_refused_address(world: World) -> None:
    async def one(address: str) -> dict[str, Any]:
        entity = {
            "url": f"{world.base}/linked?to={quote(address, safe='')}",
            "id_path": "id",
            "records_path": "items",
            "pagination": {"type": "link", "next_path": "next"},
        }
        source = await world.user.add_source(
            config={"entities": {"inventory": entity}}, credentials=NONE, sync_frequency="manual"
        )
        run_id = (await world.user.post(f"/api/sources/{source['id']}/sync")).body["run_id"]

        async def look() -> dict[str, Any]:
            return dict((await world.user.get(f"/api/runs/{run_id}")).body)

        return dict(await eventually(look, lambda run: run["status"] not in ("queued", "running"), within=60))

    few = asyncio.Semaphore(10)

    async def gently(address: str) -> dict[str, Any]:
        async with few:
            return await one(address)

    runs = await asyncio.gather(*(gently(address) for address in addresses(world.listener.port)))
    assert {run["status"] for run in runs} == {"failed"}
    assert world.listener.heard == []


@RARELY
async def test_no_single_record_is_fetched_from_a_refused_address(world: World, step: int) -> None:
    """A webhook names an id, and the run reads that record alone: at `by_id_url`."""

    async def one(address: str) -> str | None:
        entity = {"url": f"{world.base}/fine", "id_path": "id", "by_id_url": f"{address}{{id}}"}
        body = {"source_type": "json_api", "display_name": "x", "credentials": NONE, "sync_frequency": "manual"}
        answer = await world.user.post("/api/sources", body | {"config": {"entities": {"inventory": entity}}})
        if answer.status == 422:
            return None
        path = f"/api/sources/{answer.body['id']}"
        first = (await world.user.post(f"{path}/sync")).body["run_id"]
        await eventually(lambda: ended(world.user, first), bool, within=60)
        secret = (await world.user.post(f"{path}/webhook-secret")).body["secret"]
        raw = json.dumps({"events": [{"entity": "inventory", "id": "7", "op": "upsert"}]}).encode()
        now = str(int(time.time()))
        signed = {
            "X-Headrace-Timestamp": now,
            "X-Headrace-Signature": generic_signature(secret.encode(), now, raw),
        }
        assert (await world.gateway.call("POST", f"/webhooks/{answer.body['id']}", raw, signed)).status == 202

        async def hooked() -> str | None:
            runs = (await world.user.get(f"/api/runs?source_id={answer.body['id']}")).body["items"]
            return next((run["id"] for run in runs if run["trigger"] == "webhook"), None)

        run_id = await eventually(hooked, bool, within=30)
        return str(await eventually(lambda: ended(world.user, run_id), bool, within=60))

    few = asyncio.Semaphore(10)

    async def gently(address: str) -> str | None:
        async with few:
            return await one(address)

    ends = await asyncio.gather(*(gently(address) for address in addresses(world.listener.port)[::step]))
    assert set(ends) == {None, "failed"}
    assert ends.count("failed") >= 30 / step
    assert world.listener.heard == []


async def ended(user: User, run_id: str) -> str | None:
    """The run's end; None while there is none."""
    status = (await user.get(f"/api/runs/{run_id}")).body["status"]
    return None if status in ("queued", "running") else str(status)


LIMITS = HttpLimits(connect=2, read=2, deadline=4)


async def test_the_client_dials_none_of_them() -> None:
    async with listening() as listener, HttpClient(EgressPolicy(), SystemClock(), limits=LIMITS) as http:
        for address in addresses(listener.port):
            with pytest.raises((ConfigurationError, EgressRefusedError, UnavailableError)):
                await http.send(HttpRequest("GET", address))
        assert listener.heard == []
        # The count counts: without the guard it would have heard of them.
        allowed = HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock(), limits=LIMITS)
        async with allowed:
            with pytest.raises(HeadraceError):
                await allowed.send(HttpRequest("GET", f"http://127.0.0.1:{listener.port}/"))
        assert len(listener.heard) == 1


INSIDE = [
    "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0.0.0.0", "::", "10.0.0.1",
    "169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fe80::1", "fd00:ec2::254", "::7f00:1",
]  # fmt: skip


async def test_no_name_leads_there_either() -> None:
    names = ToldNames({f"n{number}.example": [[ip]] for number, ip in enumerate(INSIDE)} | {"all.example": [INSIDE]})
    http = HttpClient(EgressPolicy(), SystemClock(), limits=LIMITS, resolver=names)
    async with listening() as listener, http:
        for name in [*(f"n{number}.example" for number in range(len(INSIDE))), "all.example"]:
            with pytest.raises(EgressRefusedError):
                await http.send(HttpRequest("GET", f"http://{name}:{listener.port}/"))
        assert listener.heard == []


async def test_a_name_that_changes_its_mind_is_judged_again() -> None:
    """It leads to an allowed server until it was looked at, then inside."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response([], headers={"Connection": "close"})

    app = web.Application()
    app.router.add_get("/", answer)
    async with listening() as listener, running(app, host="127.0.0.2") as base:
        port = base.rpartition(":")[2]
        names = ToldNames({"flip.example": [["127.0.0.2"], ["127.0.0.1"]]})
        policy = EgressPolicy.parse("127.0.0.2")
        async with HttpClient(policy, SystemClock(), limits=LIMITS, resolver=names) as http:
            assert (await http.send(HttpRequest("GET", f"http://flip.example:{port}/"))).status == 200
        async with HttpClient(policy, SystemClock(), limits=LIMITS, resolver=names) as http:
            with pytest.raises(EgressRefusedError):
                await http.send(HttpRequest("GET", f"http://flip.example:{listener.port}/"))
        assert listener.heard == []
