"""The JSON API sandbox: real data that can be edited, six ways of paging, and its controls over HTTP."""

import csv
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from json_api_client import get, read_all, status_of
from sandbox_process import sandbox_process

import sandboxes
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running

CSV_FOLDER = Path(sandboxes.__file__).parent / "data" / "northwind"


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
    options = ("--products", "30", "--seed", "2", "--limit", "2/60", "--bearer", "t")
    async with sandbox_process(tmp_path, "json_api", *options) as url, aiohttp.ClientSession(url) as session:
        found = [await status_of(session, "/all/products", Authorization="Bearer t") for _ in range(3)]
        assert found == [200, 200, 429]
