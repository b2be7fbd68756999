"""The json_api connector through the metered client, against the sandbox: every paging style, fault and credential."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from fake_budget import FakeBudget

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.limits import Limits
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.connector_sdk.credentials import apply
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import BadRecord, ReadRequest, Request
from shared.connectors.json_api.source import CONNECTOR
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DataError,
    HeadraceError,
    ParkError,
    RateLimitedError,
    UnavailableError,
    UnusableBodyError,
)
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy

CANARY = "s3cr3t-canary-41"
ALL = ReadRequest("inventory", since=None)


class World:
    """A sandbox, a client on it, and the connector."""

    def __init__(self, state: JsonApiState, url: str, http: HttpClient) -> None:
        self.state = state
        self.url = url
        self.http = http
        self.budget = FakeBudget()

    def client(self, credentials: dict[str, Any] | None = None) -> MeteredClient:
        validated = CONNECTOR.spec.credentials.validate_python(credentials or {"type": "none"})
        return MeteredClient(self.http, apply(validated), self.budget)

    def config(self, path: str, pagination: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "entities": {
                "inventory": {"url": f"{self.url}{path}", "id_path": "productID", "pagination": pagination} | more
            }
        }

    async def read(
        self, config: dict[str, Any], client: MeteredClient | None = None, request: ReadRequest = ALL
    ) -> list[RawRecord | BadRecord]:
        """Page by page, a source of its own for each, as the steps of a run do; as one stream where there are none."""
        client = client or self.client()
        if CONNECTOR.open(config, client).shape("inventory") == "spool":
            return [record async for record in CONNECTOR.open(config, client).read_all(request)]
        records: list[RawRecord | BadRecord] = []
        cursor: Cursor = None
        for _ in range(200):
            page = await CONNECTOR.open(config, client).read_page(request, cursor)
            records += page.records
            cursor = page.next_cursor
            if cursor is None:
                return records
        raise AssertionError("the read did not end")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    state = JsonApiState.northwind()
    limits = HttpLimits(read=2.0, deadline=8.0)
    async with (
        running(build_app(state)) as url,
        HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock(), limits=limits) as http,
    ):
        yield World(state, url, http)


PAGE = {"type": "page", "page_param": "page", "size_param": "size", "page_size": 10}
STYLES: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    ("/all/products", {"type": "none"}, {}, 1),
    ("/page/products", PAGE, {"records_path": "items"}, 8),
    ("/page/products?size=40", {"type": "page", "page_param": "page"}, {"records_path": "items"}, 3),
    (
        "/offset/products",
        {"type": "offset", "offset_param": "offset", "limit_param": "limit", "page_size": 25},
        {"records_path": "results"},
        4,
    ),
    (
        "/cursor/products?limit=20",
        {"type": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"},
        {"records_path": "data"},
        4,
    ),
    ("/link/products?limit=30", {"type": "link", "next_path": "next"}, {"records_path": "items"}, 3),
    ("/linkheader/products", {"type": "link"}, {"params": {"limit": 11}}, 7),
]


@pytest.mark.parametrize(("path", "pagination", "more", "calls"), STYLES)
async def test_every_style_reads_every_record_once(
    world: World, path: str, pagination: dict[str, Any], more: dict[str, Any], calls: int
) -> None:
    client = world.client()

    records = await world.read(world.config(path, pagination, **more), client)

    assert records == world.state.records("products")
    assert client.calls == calls == len(world.state.arrivals) == 1_000 - world.budget.slots


async def test_a_server_that_caps_the_page_size_loses_no_record(world: World) -> None:
    world.state.max_size = 7
    for config in (
        world.config("/page/products", PAGE | {"page_size": 50}, records_path="items"),
        world.config(STYLES[3][0], STYLES[3][1], records_path="results"),
    ):
        assert await world.read(config) == world.state.records("products")


async def test_only_changes_are_read_where_the_source_can(world: World) -> None:
    world.state.edit("products", 5, unitsInStock=99)
    changed = [record for record in world.state.records("products") if record["productID"] == 5]
    since = world.state.behaviour.wall()
    world.state.edit("products", 9, unitsInStock=1)
    config = world.config("/page/products", PAGE, records_path="items", updated_since_param="updated_since")

    read = await world.read(config, request=ReadRequest("inventory", since=since))

    assert [record["productID"] for record in read if isinstance(record, dict)] == [changed[0]["productID"], 9]
    assert "updated_since=20" in world.state.arrivals[-1].path


@pytest.mark.parametrize(
    ("auth", "credentials"),
    [
        (Auth("bearer", {CANARY: "a"}), {"type": "bearer", "token": CANARY}),
        (Auth("basic", {f"me:{CANARY}": "a"}), {"type": "basic", "username": "me", "password": CANARY}),
        (Auth("header", {CANARY: "a"}, "X-Their-Key"), {"type": "api_key", "header": "X-Their-Key", "value": CANARY}),
        (Auth("query", {CANARY: "a"}, "k"), {"type": "api_key", "query": "k", "value": CANARY}),
    ],
)
async def test_credentials_reach_each_page_and_nothing_else(
    world: World, auth: Auth, credentials: dict[str, Any]
) -> None:
    world.state.behaviour.auth = auth
    config = world.config("/link/products?limit=30", {"type": "link", "next_path": "next"}, records_path="items")
    client = world.client(credentials)

    page = await CONNECTOR.open(config, client).read_page(ALL, None)
    assert CANARY not in str(page.next_cursor)
    assert await world.read(config, client) == world.state.records("products")

    error = await failure(world, config, client=world.client({"type": "bearer", "token": "wrong-" + CANARY}))
    assert type(error) is AuthenticationError


async def failure(world: World, config: dict[str, Any], client: MeteredClient | None = None) -> HeadraceError:
    with pytest.raises(HeadraceError) as caught:
        await world.read(config, client)
    assert CANARY not in f"{caught.value!r} {caught.value.hint}"
    return caught.value


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FaultRule(kind="status", status=503), UnavailableError),
        (FaultRule(kind="status", status=404), ConfigurationError),
        (FaultRule(kind="status", status=403), AuthenticationError),
        (FaultRule(kind="status", status=204), UnusableBodyError),
        (FaultRule(kind="drop"), UnavailableError),
        (FaultRule(kind="delay", ms=20_000), UnavailableError),
        (FaultRule(kind="cut"), UnusableBodyError),
        (FaultRule(kind="cut", chunked=True), UnusableBodyError),
        (FaultRule(kind="empty"), UnusableBodyError),
        (FaultRule(kind="html"), UnusableBodyError),
        (FaultRule(kind="truncated_json"), UnusableBodyError),
        (FaultRule(kind="wrong_encoding", encoding="utf-16"), HeadraceError),
        (FaultRule(kind="wrong_type"), DataError),
        (FaultRule(kind="gzip_bomb", size=12_000_000), DataError),
        (FaultRule(kind="deep_nesting"), DataError),
        (FaultRule(kind="page_loop", skip=1), DataError),
        (FaultRule(kind="redirect", url="http://169.254.169.254/latest"), ConfigurationError),
        (FaultRule(kind="redirect", url="/cursor/products"), ConfigurationError),
    ],
)
async def test_each_fault_has_its_error(world: World, fault: FaultRule, expected: type[HeadraceError]) -> None:
    world.state.behaviour.faults.set(fault)
    config = world.config(STYLES[4][0], STYLES[4][1], records_path="data")
    if fault.kind == "wrong_encoding":
        assert isinstance(await world.read(config), list)  # its mark tells UTF-16 from the UTF-8 that is claimed
        return
    assert type(await failure(world, config)) in {expected, *(expected.__subclasses__())}


@pytest.mark.parametrize("number", [1, 3])
async def test_pages_in_a_loop_are_noticed(world: World, number: int) -> None:
    world.state.behaviour.faults.set(FaultRule(kind="page_loop", skip=1))
    path, pagination, more, _ = STYLES[number]
    assert "page before" in (await failure(world, world.config(path, pagination, **more))).message


@pytest.mark.parametrize(("said", "seconds"), [({"Retry-After": "7"}, 7.0), ({}, None)])
async def test_a_429_blocks_the_account(world: World, said: dict[str, str], seconds: float | None) -> None:
    world.state.behaviour.faults.set(FaultRule(kind="status", status=429, headers=said))

    error = await failure(world, world.config("/all/products", {"type": "none"}))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == seconds
    assert world.budget.blocks == [("default", seconds)]
    assert world.budget.under_way == 0


async def test_redirects_are_paid_for_and_may_park(world: World) -> None:
    world.state.behaviour.faults.set(FaultRule(kind="redirect", path="/all", url="/page/products?size=100"))
    config = world.config("/all/products", {"type": "none"}, records_path="items")

    client = world.client()
    assert len(await world.read(config, client)) == 77
    assert client.calls == 2

    world.budget.slots = 1
    assert type(await failure(world, config)) is ParkError


async def test_the_limit_of_the_vendor_is_told_in_seconds(world: World) -> None:
    world.state.behaviour.limits = Limits(((1, 30.0),))
    config = world.config("/all/products", {"type": "none"})
    await world.read(config)
    error = await failure(world, config)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == pytest.approx(30, abs=1)


async def test_a_test_connection_counts_its_sample(world: World) -> None:
    source = CONNECTOR.open(world.config("/page/products", PAGE, records_path="items"), world.client())

    assert await source.check("inventory") == 10
    assert source.shape("inventory") == "pages"
    assert not source.stable_paging("inventory")
    assert source.calls_per_page("inventory") == {"default": 1}
    with pytest.raises(ConfigurationError):
        await source.check("vendors")


@pytest.mark.parametrize(
    ("records_path", "says"),
    [
        (None, "the answer holds object"),
        ("nowhere", "holds null"),
        ("items[0].productName", "holds string"),
        ("items[].productName", "element 0 is string"),
        ("sum(items)", "records_path does not fit"),
    ],
)
async def test_records_that_are_no_list_of_objects_are_refused_by_type(
    world: World, records_path: str | None, says: str
) -> None:
    more = {} if records_path is None else {"records_path": records_path}
    error = await failure(world, world.config("/page/products", PAGE, **more))
    assert isinstance(error, DataError)
    assert says in error.message
    assert "Chai" not in error.message


async def test_a_stream_is_judged_and_metered_like_an_answer(world: World) -> None:
    client = world.client()
    request = Request("GET", f"{world.url}/all/products")
    async with aclosing(client.stream(request)) as chunks:
        body = b"".join([chunk async for chunk in chunks])
    assert body == (await client.send(request)).body
    assert client.calls == 2
    assert world.budget.under_way == 0

    for fault, expected in (("html", UnusableBodyError), ("empty", UnusableBodyError), ("cut", UnusableBodyError)):
        world.state.behaviour.faults.set(FaultRule(kind=fault))
        with pytest.raises(expected):
            await _drain(client, request)
        with pytest.raises(expected):
            await client.send(request)
    world.state.behaviour.faults.set(FaultRule(kind="status", status=429))
    with pytest.raises(RateLimitedError):
        await _drain(client, request)
    assert world.budget.blocks == [("default", None)]
    assert world.budget.under_way == 0


async def _drain(client: MeteredClient, request: Request) -> int:
    async with aclosing(client.stream(request)) as chunks:
        return sum([len(chunk) async for chunk in chunks])
