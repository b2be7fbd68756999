"""Servers that misbehave on order, and requests whose secrets may appear nowhere else."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from shared.errors import HeadraceError
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy
from shared.http.hop import HttpRequest

CANARY = "s3cr3t-canary-93"
LOCAL = EgressPolicy.parse("127.0.0.0/8")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A web server that writes down what it saw."""

    def __init__(self, url: str, seen: list[str]) -> None:
        self.url = url
        self.seen = seen


@asynccontextmanager
async def serving(
    handler: Handler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    seen: list[str] = []

    async def record(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.method} {request.path_qs} {sorted(request.headers.items())} {await request.text()}")
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", record)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield Server(f"{'https' if tls else 'http'}://{host}:{port}", seen)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(answer: bytes | None, *, reset_after: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Sends these bytes for each request; None closes without a word."""
    requests: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                requests.append(head)
                if answer is None or (reset_after and len(requests) > 1):
                    break
                writer.write(answer)
                await writer.drain()
                if b"keep-alive" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()


def get(url: str) -> HttpRequest:
    return HttpRequest("GET", url)


def secret(url: str) -> HttpRequest:
    return HttpRequest(
        "GET", url, secret_headers={"X-Api-Key": CANARY, "Cookie": f"s={CANARY}"}, secret_params={"key": CANARY}
    )


async def ok(_: web.Request) -> web.Response:
    return web.json_response([])


async def failure(http: HttpClient, request: HttpRequest) -> HeadraceError:
    with pytest.raises(HeadraceError) as caught:
        await http.send(request)
    shown = f"{caught.value.message} {caught.value.hint} {caught.value!r} {caught.value.__suppress_context__}"
    assert CANARY not in shown
    assert "?" not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value
