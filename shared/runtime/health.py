"""A small HTTP server beside the services: /metrics, /healthz (the event loop turns), /readyz (services are ready)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.errors import StartupError
from shared.runtime.service import Service

READY_PATIENCE = 2.0
"""Seconds in which all services must answer; a probe that hangs tells its caller nothing."""

_TEXT = "text/plain; charset=utf-8"
_Message = MutableMapping[str, Any]  # the ASGI specification's own type
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Readiness:
    """Whether the process can work: its services are open, none of them says no, and it was not told to stop."""

    def __init__(self, stop: asyncio.Event, patience: float = READY_PATIENCE) -> None:
        self._stop = stop
        self._patience = patience
        self._services: Sequence[Service] | None = None

    def opened(self, services: Sequence[Service]) -> None:
        """From now on these are asked; before, the answer is no."""
        self._services = services

    async def __call__(self) -> bool:
        if self._services is None or self._stop.is_set():
            return False
        try:
            async with asyncio.timeout(self._patience):
                answers = await asyncio.gather(*(service.ready() for service in self._services))
        except Exception:  # noqa: BLE001 - whatever keeps a service from answering, it is not ready
            return False
        return all(answers)


class HealthApp:
    """The ASGI application."""

    def __init__(self, registry: CollectorRegistry, ready: Callable[[], Awaitable[bool]]) -> None:
        self._registry = registry
        self._ready = ready

    async def __call__(self, scope: MutableMapping[str, Any], _receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = await self._answer(str(scope["method"]), str(scope["path"]))
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if path not in {"/metrics", "/healthz", "/readyz"}:
            return 404, _TEXT, b"not found\n"
        if method not in {"GET", "HEAD"}:
            return 405, _TEXT, b"method not allowed\n"
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/healthz" or await self._ready():
            return 200, _TEXT, b"ok\n"
        return 503, _TEXT, b"not ready\n"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError: a port in use must be one clear line, not a traceback."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise StartupError(
            f"HEADRACE_METRICS_PORT: cannot listen on {host}:{port}: {error}",
            hint="Choose another port, or 0 for none.",
        ) from None


@asynccontextmanager
async def serving(app: HealthApp, listener: socket.socket) -> AsyncIterator[None]:
    """Answer on `listener` while the context lasts; then close it."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="health")
    try:
        yield
    finally:
        server.should_exit = True
        try:
            await task
        finally:
            listener.close()


class _Server(uvicorn.Server):
    """Leaves the signals to the process: uvicorn's handlers would keep SIGTERM from the services."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
