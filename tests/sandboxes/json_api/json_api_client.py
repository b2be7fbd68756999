"""A plain client of the JSON API sandbox that knows each of its six ways of paging."""

import json
from decimal import Decimal
from typing import Any

import aiohttp


class Steps:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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
