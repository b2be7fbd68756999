"""The file sandbox: the files as they are, their dialects, validators, and the shared faults."""

import csv
import gzip
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

import sandboxes
from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.limits import Limits
from sandboxes.data import northwind_shop
from sandboxes.files.app import build_app
from sandboxes.files.state import FilesState
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running

CSV_FOLDER = Path(sandboxes.__file__).parent / "data" / "northwind"


@pytest.fixture
def state() -> FilesState:
    return FilesState.northwind()


@pytest.fixture
async def session(state: FilesState) -> AsyncIterator[aiohttp.ClientSession]:
    async with running(build_app(state)) as url, aiohttp.ClientSession(url, auto_decompress=False) as session:
        yield session


async def read(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.read()


@pytest.mark.parametrize("name", ["products.csv", "suppliers.csv"])
async def test_the_real_files_byte_for_byte(session: aiohttp.ClientSession, name: str) -> None:
    assert await read(session, f"/{name}") == (CSV_FOLDER / name).read_bytes()
    async with session.get(f"/{name}") as response:
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("entity", ["products", "suppliers", "orders"])
async def test_the_json_files_equal_the_api(session: aiohttp.ClientSession, entity: str) -> None:
    records = JsonApiState.northwind().records(entity)  # type: ignore[arg-type] # parametrize knows no literals
    found = json.loads(await read(session, f"/{entity}.json"), parse_float=str)
    assert found == json.loads(json.dumps(records, default=str))


@pytest.mark.parametrize(
    ("query", "encoding", "delimiter", "quote"),
    [
        ("delimiter=semicolon", "utf-8", ";", '"'),
        ("delimiter=tab&encoding=latin-1&crlf=1", "latin-1", "\t", '"'),
        ("delimiter=pipe&encoding=cp1252&quote=single", "cp1252", "|", "'"),
        ("encoding=utf-16", "utf-16", ",", '"'),
        ("bom=1", "utf-8-sig", ",", '"'),
    ],
)
async def test_dialects_hold_the_same_rows(
    session: aiohttp.ClientSession, query: str, encoding: str, delimiter: str, quote: str
) -> None:
    text = (await read(session, f"/suppliers.csv?{query}")).decode(encoding)
    found = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    assert list(found) == northwind_shop.rows("suppliers")
    assert text.endswith("\r\n") is ("crlf" in query)


async def test_decimal_comma_preamble_and_no_header(session: aiohttp.ClientSession) -> None:
    lines = (await read(session, "/products.csv?decimal=comma&delimiter=semicolon")).decode().splitlines()
    assert lines[1] == "1;Chai;1;1;10 boxes x 20 bags;18,00;39;0;10;0"
    lines = (await read(session, "/products.csv?skip=2&header=0")).decode().splitlines()
    assert lines[0].startswith("Exported")
    assert lines[2] == "1,Chai,1,1,10 boxes x 20 bags,18.00,39,0,10,0"
    assert len(lines) == 2 + 77


async def test_content_encoding_gzip(session: aiohttp.ClientSession) -> None:
    async with session.get("/products.csv?gzip=1") as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == (CSV_FOLDER / "products.csv").read_bytes()


@pytest.mark.parametrize("query", ["delimiter=;", "encoding=ebcdic", "decimal=x", "skip=-1", "bom=2"])
async def test_variants_that_do_not_exist(session: aiohttp.ClientSession, query: str) -> None:
    async with session.get(f"/products.csv?{query}") as response:
        assert response.status == 400
    async with session.get("/products.json?delimiter=tab") as response:
        assert response.status == 400
    async with session.get("/nothing.csv") as response:
        assert response.status == 404


async def test_validators(state: FilesState, session: aiohttp.ClientSession) -> None:
    async def status(**headers: str) -> int:
        async with session.get("/products.csv", headers=headers) as response:
            assert "ETag" in response.headers
            assert (await response.read() == b"") is (response.status == 304)
            return response.status

    async with session.get("/products.csv") as response:
        etag, modified = response.headers["ETag"], response.headers["Last-Modified"]
    async with session.get("/products.csv?bom=1") as response:
        assert response.headers["ETag"] != etag
    earlier = format_datetime(parsedate_to_datetime(modified) - timedelta(seconds=1), usegmt=True)
    assert await status(**{"If-None-Match": etag}) == 304
    assert await status(**{"If-None-Match": f'"other", W/{etag}'}) == 304
    assert await status(**{"If-None-Match": '"other"', "If-Modified-Since": modified}) == 200
    assert await status(**{"If-Modified-Since": modified}) == 304
    assert await status(**{"If-Modified-Since": earlier}) == 200
    assert await status(**{"If-Modified-Since": "long ago"}) == 200

    state.put_rows("products.csv", [{**row, "unitsInStock": "1"} for row in northwind_shop.rows("products")])
    assert await status(**{"If-None-Match": etag}) == 200
    assert await status(**{"If-Modified-Since": modified}) == 200
    state.reset()
    assert await status(**{"If-None-Match": etag}) == 304


async def test_faults_limits_and_credentials_are_the_shared_ones(
    state: FilesState, session: aiohttp.ClientSession
) -> None:
    state.behaviour.auth = Auth("query", {"k": "a"})
    state.behaviour.limits = Limits(((2, 60.0),))
    state.behaviour.faults.set(FaultRule(kind="cut", path="/products.csv"))
    async with session.get("/products.csv?api_key=k") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    state.behaviour.faults.set(FaultRule(kind="wrong_type"))
    assert json.loads(await read(session, "/products.csv?api_key=k")) == {"message": "ok"}
    for path, status in (("/products.csv?api_key=k", 429), ("/products.csv", 401)):
        async with session.get(path) as response:
            assert response.status == status
    assert [arrival.status for arrival in state.arrivals] == [0, 200, 429, 401]
    assert state.worst_window(60) == 3


async def test_files_over_http(session: aiohttp.ClientSession) -> None:
    async with session.put("/_control/files/mine.csv", data=b"a,b\n1,2\n") as response:
        assert response.status == 200
    assert await read(session, "/mine.csv") == b"a,b\n1,2\n"
    async with session.delete("/_control/files/mine.csv") as response:
        assert response.status == 200
    async with session.get("/mine.csv") as response:
        assert response.status == 404
    async with session.post("/_control/reset") as response:
        assert response.status == 200


async def test_a_generated_file() -> None:
    state = FilesState.generated(300, seed=3)
    rows = list(csv.DictReader(io.StringIO(state.files["products.csv"].content.decode(), newline="")))
    records = JsonApiState.generated(300, seed=3).records("products")
    assert [row["unitCost"] for row in rows] == [str(record["unitCost"]) for record in records]
    assert [row["description"] for row in rows] == [record["description"] for record in records]
    assert state.files["products.csv"].modified <= datetime.now(UTC)
