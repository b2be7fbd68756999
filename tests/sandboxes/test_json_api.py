"""The JSON API sandbox: real data, six ways of paging, strict limits, and faults that do what they say."""

import asyncio
import base64
import csv
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import sandboxes
from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import Behaviour
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running

CSV_FOLDER = Path(sandboxes.__file__).parent / "data" / "northwind"


class Steps:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def state(steps: Steps) -> JsonApiState:
    return JsonApiState.northwind(Behaviour(steady=steps))


@pytest.fixture
async def session(state: JsonApiState) -> AsyncIterator[aiohttp.ClientSession]:
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        yield session


async def get(session: aiohttp.ClientSession, path: str, **headers: str) -> Any:
    async with session.get(path, headers=headers) as response:
        assert response.status == 200, await response.text()
        return json.loads(await response.read(), parse_float=Decimal)


async def status_of(session: aiohttp.ClientSession, path: str, **headers: str) -> int:
    async with session.get(path, headers=headers) as response:
        await response.read()
        return response.status


async def read_all(session: aiohttp.ClientSession, style: str, entity: str, size: int) -> list[dict[str, Any]]:
    """All records by one style's own rules, as a client of that API would read them."""
    found: list[dict[str, Any]] = []
    match style:
        case "all":
            found = await get(session, f"/all/{entity}")
        case "page":
            page, pages = 1, 1
            while page <= pages:
                body = await get(session, f"/page/{entity}?page={page}&size={size}")
                found += body["items"]
                page, pages = page + 1, body["pages"]
        case "offset":
            total = 1
            while len(found) < total:
                body = await get(session, f"/offset/{entity}?offset={len(found)}&limit={size}")
                found += body["results"]
                total = body["total"]
        case "cursor":
            cursor: str | None = ""
            while cursor is not None:
                body = await get(session, f"/cursor/{entity}?cursor={cursor}&limit={size}")
                found += body["data"]
                cursor = body["next_cursor"]
        case "link":
            path: str | None = f"/link/{entity}?size={size}"
            while path is not None:
                body = await get(session, path)
                found += body["items"]
                path = body["next"]
        case _:
            url: Any = f"/linkheader/{entity}?size={size}"
            while url is not None:
                async with session.get(url) as response:
                    found += json.loads(await response.read(), parse_float=Decimal)
                    url = response.links["next"]["url"] if "next" in response.links else None
    return found


@pytest.mark.parametrize("style", ["all", "page", "offset", "cursor", "link", "linkheader"])
@pytest.mark.parametrize(("entity", "key"), [("products", "productID"), ("suppliers", "supplierID")])
async def test_each_style_returns_each_record_once(
    state: JsonApiState, session: aiohttp.ClientSession, style: str, entity: Any, key: str
) -> None:
    for size in (1, 7, 11, 1000):  # 77 products are a whole number of pages of 7 and of 11
        found = await read_all(session, style, entity, size)
        assert found == state.records(entity)
        assert len({record[key] for record in found}) == len(found) > 25


async def test_the_bare_path_takes_its_style_from_the_parameters(session: aiohttp.ClientSession) -> None:
    assert len(await get(session, "/products")) == 77
    assert (await get(session, "/products?page=2&size=50"))["page"] == 2
    assert (await get(session, "/products?offset=70&limit=50"))["results"][0]["productID"] == 71
    assert (await get(session, "/products?cursor=&limit=5"))["next_cursor"]
    assert (await get(session, "/products?after=5&size=2"))["next"] == "/products?after=7&size=2"
    async with session.get("/products?paging=linkheader&size=76") as response:
        assert "paging=linkheader&size=76&after=76" in str(response.links["next"]["url"])


async def test_the_products_equal_the_csv(session: aiohttp.ClientSession) -> None:
    with (CSV_FOLDER / "products.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    suppliers = {record["supplierID"]: record["companyName"] for record in await get(session, "/suppliers")}
    assert suppliers[7] == "Pavlova, Ltd."
    found = await get(session, "/products")
    assert len(found) == len(rows) == 77
    for row, record in zip(rows, found, strict=True):
        assert record["supplier"] == {"id": int(row["supplierID"]), "name": suppliers[int(row["supplierID"])]}
        assert record["discontinued"] is (row["discontinued"] == "1")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["updatedAt"])
        assert str(record["unitPrice"]) == row["unitPrice"]
        for name in ("productName", "quantityPerUnit"):
            assert record[name] == row[name]
        for name in ("productID", "categoryID", "unitsInStock", "unitsOnOrder", "reorderLevel"):
            assert record[name] == int(row[name])
    async with session.get("/products/1") as response:
        assert '"unitPrice":18.00,' in await response.text()


async def test_the_suppliers_equal_the_csv(session: aiohttp.ClientSession) -> None:
    header, *lines = (CSV_FOLDER / "suppliers.csv").read_text(encoding="utf-8").splitlines()
    found = await get(session, "/suppliers")
    assert len(found) == len(lines) == 29
    for line, record in zip(lines, found, strict=True):
        values = ["NULL" if record[name] is None else str(record[name]) for name in header.split(",")]
        assert ",".join(values) == line


async def test_orders_add_up(session: aiohttp.ClientSession) -> None:
    orders = await get(session, "/orders")
    assert len(orders) == 58
    assert {order["status"] for order in orders} == {"DRAFT", "SENT", "PART_RECEIVED", "RECEIVED", "CANCELLED"}
    for order in orders:
        assert order["subtotal"] == sum(line["quantity"] * line["unitCost"] for line in order["lines"]) > 0
        assert order["total"] == order["subtotal"] + order["tax"] + order["shipping"]


async def test_edits_show_and_move_the_time_of_change(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    newest = max(record["updatedAt"] for record in await get(session, "/products"))
    state.edit("products", 5, unitPrice=Decimal("1.10"), productName='Cañón "grande"')
    assert (await get(session, "/products"))[4]["productName"] == 'Cañón "grande"'  # though the list was read before
    added = state.add("products", productName="Neu")
    state.remove("products", 77)
    assert added == 78
    changed = state.change_percent("products", 10)
    assert changed == [1, 10, 20, 29, 39, 49, 58, 68]  # 8 of the 77, evenly spread
    found = {record["productID"]: record for record in await get(session, "/products?updated_since=" + newest)}
    assert set(found) == {*changed, 5, 78}
    assert found[5]["productName"] == 'Cañón "grande"'
    assert str(found[5]["unitPrice"]) == "1.10"
    assert found[1]["unitsInStock"] == 39 + 7
    assert await status_of(session, "/products/77") == 404
    assert len(await get(session, "/products")) == 77
    state.reset()
    assert state.records("products") == JsonApiState.northwind().records("products")


async def test_the_since_filter_is_inclusive_and_pages(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    since = state.records("products")[60]["updatedAt"]
    ids: list[int] = []
    path = f"/link/products?size=5&updated_since={since}"
    while path:
        body = await get(session, path)
        ids += [record["productID"] for record in body["items"]]
        path = body["next"]
    assert ids == list(range(61, 78))
    assert len(await get(session, "/products?updated_since=2999-01-01T00:00:00%2B01:00")) == 0


async def test_a_keyset_cursor_survives_the_loss_of_its_record(
    state: JsonApiState, session: aiohttp.ClientSession
) -> None:
    cursor = (await get(session, "/cursor/products?limit=10"))["next_cursor"]
    state.remove("products", 10)
    assert (await get(session, f"/cursor/products?limit=10&cursor={cursor}"))["data"][0]["productID"] == 11


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "size=0", "offset=-1", "cursor=%25", "after=x", "updated_since=now", "paging=odd"]
)
async def test_bad_parameters_are_refused(session: aiohttp.ClientSession, query: str) -> None:
    assert await status_of(session, f"/products?{query}") == 400


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


async def test_everything_over_http(state: JsonApiState, session: aiohttp.ClientSession) -> None:
    async def post(path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with session.post(f"/_control/{path}", data=data) as response:
            return response.status, json.loads(await response.read())

    assert (await post("auth", {"kind": "bearer", "secrets": {"t": "a"}}))[0] == 200
    assert (await post("limits", {"limits": [[2, 60]], "retry_after": "none"}))[0] == 200
    assert (await post("faults", [{"kind": "status", "status": 502, "count": 1}]))[0] == 200
    found = [await status_of(session, "/products", Authorization="Bearer t") for _ in range(3)]
    assert found == [502, 200, 429]
    assert await status_of(session, "/products") == 401
    seen = await get(session, "/_control/arrivals?window=60&account=a")
    assert [arrival["status"] for arrival in seen["arrivals"]] == [502, 200, 429, 401]
    assert (seen["worst_window"], seen["max_in_flight"]) == (3, 1)
    assert (await get(session, "/_control/faults"))[0]["hits"] == 1

    edit = b'{"entity":"products","id":1,"fields":{"unitPrice":18.50}}'
    assert (await post("edit", edit))[0] == 200
    assert str(state.records("products")[0]["unitPrice"]) == "18.50"
    assert await post("add", {"entity": "suppliers", "fields": {"companyName": "X"}}) == (200, {"id": 30})
    assert (await post("remove", {"entity": "suppliers", "id": 30}))[0] == 200
    assert len((await post("change-percent", {"entity": "orders", "percent": 50}))[1]["changed"]) == 29
    assert await get(session, "/_control/records/products") == state.records("products")

    assert (await post("faults", [{"kind": "odd"}]))[0] == 400
    assert (await post("limits", {"limits": [[0, 60]]}))[0] == 400
    assert (await post("edit", {"entity": "products", "id": 999, "fields": {}}))[0] == 404
    assert await status_of(session, "/_control/records/nothing") == 404
    assert (await post("reset", {}))[0] == 200
    assert await get(session, "/products") == JsonApiState.northwind().records("products")
    assert len(state.arrivals) == 1


async def test_a_generated_shop_is_the_same_for_the_same_seed() -> None:
    state = JsonApiState.generated(2500, seed=9)
    records = state.records("products")
    assert records == JsonApiState.generated(2500, seed=9).records("products")
    assert records != JsonApiState.generated(2500, seed=8).records("products")
    assert {len(record) for record in records} == {16}
    text = json.dumps(records, default=str, ensure_ascii=False)
    assert 380 < len(text.encode()) / len(records) < 520
    assert "耐熱" in text
    assert '\\"series' in text
    suppliers = {record["supplierCode"] for record in state.records("suppliers")}
    assert {record["defaultSupplierId"] for record in records} == suppliers
    products = {record["productCode"] for record in records}
    assert all(line["productCode"] in products for order in state.records("orders") for line in order["lines"])
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        for style in ("page", "offset", "cursor", "link", "linkheader"):
            assert await read_all(session, style, "products", 1000) == records


async def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandboxes.json_api", "--port", "0", "--port-file", str(port_file)),
        *("--products", "30", "--seed", "2", "--limit", "2/60", "--bearer", "t"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(sandboxes.__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), 20)
        url = f"http://127.0.0.1:{port_file.read_text()}"
        assert said.decode() == f"listening on {url}\n"
        async with aiohttp.ClientSession(url) as session:
            found = [await status_of(session, "/all/products", Authorization="Bearer t") for _ in range(3)]
            assert found == [200, 200, 429]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
