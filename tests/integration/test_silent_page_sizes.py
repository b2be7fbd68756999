"""Servers that number their pages, give fewer records than were asked for, and say nothing of what is left."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from fake_budget import FakeBudget

from sandboxes.serving import running
from shared.clock import SystemClock
from shared.connector_sdk.credentials import apply
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import ReadRequest
from shared.connectors.json_api.source import CONNECTOR
from shared.contracts.messages import Cursor
from shared.errors import HeadraceError, UnavailableError
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy

ASKED = 10
RECORDS = [{"id": number} for number in range(33)]
PAGE = {"type": "page", "page_param": "page", "size_param": "size", "page_size": ASKED}
OFFSET = {"type": "offset", "offset_param": "offset", "limit_param": "size", "page_size": ASKED}
Behind = Callable[[list[list[dict[str, int]]]], web.Response]


def cut_into(*sizes: int) -> list[list[dict[str, int]]]:
    pages, start = [], 0
    for size in sizes:
        pages.append(RECORDS[start : start + size])
        start += size
    return pages


BEHIND_THE_END: dict[str, Behind] = {
    "an empty page": lambda _: web.json_response({"items": []}),
    "no list": lambda _: web.json_response({"items": None}),
    "404": lambda _: web.json_response({"detail": "Invalid page."}, status=404),
    "400": lambda _: web.json_response({"code": "invalid_page_number"}, status=400),
    "204": lambda _: web.Response(status=204),
    "the last page again": lambda pages: web.json_response({"items": pages[-1]}),
    "the first page again": lambda pages: web.json_response({"items": pages[0]}),
}


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock(), limits=HttpLimits(read=2.0)) as client:
        yield client


async def read(http: HttpClient, handler: Any, pagination: dict[str, Any]) -> list[Any]:
    app = web.Application()
    app.router.add_get("/", handler)
    async with running(app) as url:
        credentials = CONNECTOR.spec.credentials.validate_python({"type": "none"})
        config = {"entities": {"inventory": {"url": f"{url}/", "id_path": "id", "pagination": pagination}}}
        config["entities"]["inventory"]["records_path"] = "items"
        source = CONNECTOR.open(config, MeteredClient(http, apply(credentials), FakeBudget()))
        found: list[Any] = []
        cursor: Cursor = None
        for _ in range(30):
            page = await source.read_page(ReadRequest("inventory", since=None), cursor)
            found += page.records
            cursor = page.next_cursor
            if cursor is None:
                return found
    raise AssertionError("the read did not end")


@pytest.mark.parametrize("behind", BEHIND_THE_END.values(), ids=BEHIND_THE_END)
@pytest.mark.parametrize("sizes", [(4,) * 8 + (1,), (10, 9, 10, 4), (10, 6, 5, 5, 7)], ids=["cap", "gap", "shrink"])
async def test_a_short_page_loses_nothing(http: HttpClient, sizes: tuple[int, ...], behind: Behind) -> None:
    pages = cut_into(*sizes)

    async def answer(request: web.Request) -> web.Response:
        number = int(request.query["page"])
        return web.json_response({"items": pages[number - 1]}) if number <= len(pages) else behind(pages)

    assert await read(http, answer, PAGE) == RECORDS


@pytest.mark.parametrize("shown", [0, -1], ids=["first", "last"])
async def test_a_page_that_comes_again_is_known_by_its_ids(http: HttpClient, shown: int) -> None:
    pages = cut_into(10, 10, 3)
    calls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        number = int(request.query["page"])
        page = pages[number - 1] if number <= len(pages) else pages[shown]
        return web.json_response({"items": [record | {"read": calls} for record in page]})

    assert [record["id"] for record in await read(http, answer, PAGE)] == list(range(23))


async def test_records_without_ids_are_told_apart_by_all_they_have(http: HttpClient) -> None:
    async def answer(request: web.Request) -> web.Response:
        start = int(request.query["offset"])
        return web.json_response({"items": [{"name": number} for number in range(start, min(start + ASKED, 25))]})

    assert len(await read(http, answer, OFFSET)) == 25


async def test_offsets_that_shrink_lose_nothing(http: HttpClient) -> None:
    async def answer(request: web.Request) -> web.Response:
        start = int(request.query["offset"])
        return web.json_response({"items": RECORDS[start : start + (ASKED if start < 10 else 6)]})

    assert await read(http, answer, OFFSET) == RECORDS


async def test_a_fault_behind_a_short_page_is_no_end(http: HttpClient) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"items": RECORDS[:4]}) if request.query["page"] == "1" else web.Response(status=503)

    with pytest.raises(UnavailableError):
        await read(http, answer, PAGE)


async def test_a_refusal_behind_a_full_page_is_no_end(http: HttpClient) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"items": RECORDS[:10]}) if request.query["page"] == "1" else web.Response(status=404)

    with pytest.raises(HeadraceError, match="404"):
        await read(http, answer, PAGE)
