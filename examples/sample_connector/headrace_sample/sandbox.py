"""The shop's stand-in: a real server with the shop's addresses, and switches for what can go wrong."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

KEY = "good-key-of-the-sample"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Spoil = Callable[[web.Request, web.Response], Awaitable[web.StreamResponse]]
"""What becomes of a good answer."""


class Shop:
    """The data, and what happened. `spoil`, once set, strikes every request after `spare` more."""

    def __init__(self, items: int = 60, suppliers: int = 300) -> None:
        old = datetime(2025, 1, 1, tzinfo=UTC)
        self.items = {number: _item(number, old + timedelta(hours=number)) for number in range(1, items + 1)}
        self.suppliers = {f"S{number}": _supplier(number) for number in range(1, suppliers + 1)}
        self.arrivals = 0
        self.in_flight = 0
        self.spare = 0
        self.spoil: Spoil | None = None
        self.loops = False

    def touch(self, number: int) -> None:
        """Change an item now."""
        changed = self.items.pop(number)  # to the end of the order in which the shop keeps them
        self.items[number] = changed | {"changed_at": datetime.now(UTC).isoformat()}  # noqa: TID251 - the vendor's clock

    def app(self) -> web.Application:
        """The application that serves this shop."""
        app = web.Application(middlewares=[self._middleware()])
        app.router.add_get("/items", self._items)
        app.router.add_get("/vendors.jsonl", self._suppliers)
        return app

    def _middleware(self) -> Any:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.arrivals += 1
            self.in_flight += 1
            try:
                return await self._answer(request, handler)
            finally:
                self.in_flight -= 1

        return middleware

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("X-Shop-Key") != KEY:
            return web.json_response({"error": "who are you?"}, status=401)
        spoil = self.spoil
        if spoil is not None and self.spare > 0:
            self.spare -= 1
            spoil = None
        answer = await handler(request)
        return answer if spoil is None or not isinstance(answer, web.Response) else await spoil(request, answer)

    async def _items(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "100"))
        since = request.query.get("since", "")
        rows = [
            row
            for number, row in sorted(self.items.items())
            if number > after and (not since or _moment(row["changed_at"]) >= _moment(since))
        ]
        rows = rows[
            int(request.query.get("skip", "0")) :
        ]  # the shop's older paging, which loses rows when others vanish
        following = rows[limit - 1]["id"] if len(rows) > limit else None
        if self.loops and after:
            following = after
        return web.json_response({"items": rows[:limit], "next": following})

    async def _suppliers(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler's signature
        text = "".join(json.dumps(row) + "\n" for row in self.suppliers.values())
        return web.Response(text=text, content_type="application/jsonl")


def status(code: int, retry_after: int | None) -> Spoil:
    """An answer of this status in the place of the good one."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def spoil(request: web.Request, answer: web.Response) -> web.StreamResponse:  # noqa: ARG001
        return web.json_response({"error": "spoiled"}, status=code, headers=headers)

    return spoil


def body(text: str, content_type: str) -> Spoil:
    """Another body with a 200."""

    async def spoil(request: web.Request, answer: web.Response) -> web.StreamResponse:  # noqa: ARG001
        return web.Response(text=text, content_type=content_type)

    return spoil


async def drop(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Close before any answer."""
    if request.transport is not None:
        request.transport.close()
    return answer


async def hang(request: web.Request, answer: web.Response) -> web.StreamResponse:  # noqa: ARG001
    """Never answer; ends when the caller hangs up."""
    await asyncio.Event().wait()
    return answer


def cut(*, chunked: bool) -> Spoil:
    """Half of the body, then close."""

    async def spoil(request: web.Request, answer: web.Response) -> web.StreamResponse:
        whole = answer.body
        assert isinstance(whole, bytes)
        half = web.StreamResponse(headers={"Content-Type": answer.headers["Content-Type"]})
        if chunked:
            half.enable_chunked_encoding()
        else:
            half.content_length = len(whole)
        await half.prepare(request)
        await half.write(whole[: len(whole) // 2])
        if request.transport is not None:
            request.transport.close()
        return half

    return spoil


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _item(number: int, changed: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "code": f"ITEM-{number:04d}",
        "title": f"Thing no. {number}",
        "stock": {"on_hand": number * 3 % 50},
        "price": number + 1,
        "supplier": f"S{number % 7 + 1}",
        "changed_at": changed.isoformat(),
    }


def _supplier(number: int) -> dict[str, Any]:
    return {
        "id": f"S{number}",
        "name": f"Möller & Søn {number}",
        "email": f"s{number}@example.com",
        "lead_time": number % 30,
    }
