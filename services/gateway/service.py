"""The gateway as a service: the HTTP server inside this process, ended by the process' own stop."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI

from services.gateway.run_watch import RunWatch
from shared.errors import StartupError
from shared.storage.database import Database

GRACE_SECONDS = 8
"""How long answers that are under way may take once told to stop."""
MAX_CONNECTIONS = 1_000
KEEP_ALIVE_SECONDS = 15


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises StartupError naming the settings."""
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except (OSError, OverflowError) as error:
        raise StartupError(
            f"HEADRACE_GATEWAY_HOST, HEADRACE_GATEWAY_PORT: cannot listen on {host}:{port}: {error}",
            hint="Choose another port, or 0 for any free one.",
        ) from None
    # Inherited by its connections. An answer is written in two pieces: else the second waits for the first one's
    # acknowledgement, which the other side holds back for 40 ms. (asyncio sees to it only where it opens the socket.)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class GatewayService:
    """Serves `app` on `listener`, which it closes in the end. `opening` is done first, and may raise StartupError."""

    name = "gateway"

    def __init__(
        self,
        app: FastAPI,
        listener: socket.socket,
        database: Database,
        opening: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._app = app
        self._listener = listener
        self._database = database
        self._opening = opening

    @property
    def url(self) -> str:
        """Where it listens; open from the start, though answers come once it runs."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`; then end event streams, finish requests, return."""
        if self._opening is not None:
            try:
                await self._opening()
            except BaseException:
                self._listener.close()
                raise
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[self._listener]), name="gateway-http")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            watch: RunWatch = self._app.state.run_watch
            watch.close()
            server.should_exit = True
            try:
                await serving
            finally:
                self._listener.close()

    async def ready(self) -> bool:
        """The database answers; a broker that is away only delays."""
        return await self._database.ping()


class _Server(uvicorn.Server):
    """Leaves the signals to the process: uvicorn's handlers would keep SIGTERM from the services."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
