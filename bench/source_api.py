"""The source that all contenders read: a paged JSON API on loopback whose bytes are made before it answers.

    GET /items?page=1&size=1000     {"items": […], "next": "http://…" | null}
    PUT /generation/2               from now on the records of that generation

Prints its address as its first line. Ends with its standard input.
"""

import argparse
import asyncio
import json
import sys

from aiohttp import web
from records import record

MOST = 1_000
"""Records on a page."""


class Pages:
    """One generation as a single run of bytes with the end of each record."""

    def __init__(self, rows: int, generation: int) -> None:
        encoded = [json.dumps(record(n, generation), ensure_ascii=False).encode() + b"," for n in range(rows)]
        self._ends = [0]
        for item in encoded:
            self._ends.append(self._ends[-1] + len(item))
        self._bytes = b"".join(encoded)
        self._rows = rows

    def answer(self, request: web.Request) -> web.Response:
        page, size = int(request.query.get("page", "1")), min(int(request.query.get("size", MOST)), MOST)
        first, last = min((page - 1) * size, self._rows), min(page * size, self._rows)
        items = self._bytes[self._ends[first] : max(self._ends[first], self._ends[last] - 1)]
        following = str(request.url.update_query(page=page + 1)) if last < self._rows else None
        return web.Response(
            body=b'{"items":[%b],"next":%b}' % (items, json.dumps(following).encode()), content_type="application/json"
        )


async def serve(rows: int, latency: float) -> None:
    generations = {number: Pages(rows, number) for number in (1, 2)}
    current = generations[1]

    async def items(request: web.Request) -> web.Response:
        if latency:
            await asyncio.sleep(latency)
        return current.answer(request)

    async def switch(request: web.Request) -> web.Response:
        nonlocal current
        current = generations[int(request.match_info["number"])]
        return web.Response(text="ok\n")

    app = web.Application()
    app.add_routes([web.get("/items", items), web.put(r"/generation/{number:[12]}", switch)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.rows, options.latency_ms / 1000))
