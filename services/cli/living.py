"""The life of a command that runs until it is told to stop: on the services' own runtime, errors told in one line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from services.cli.stack import EmbeddedServers
from shared.config import environment, load
from shared.errors import HeadraceError, StartupError
from shared.observability.logging import configure
from shared.runtime.main import Process, ProcessSettings, Start, run
from shared.runtime.service import Service

READY_WITHIN = 90.0
_POLL_SECONDS = 0.1


def live(start: Start, settings: ProcessSettings, *, grace: float) -> int:
    """As `shared.runtime.main.run`; an expected error (HeadraceError), in the start or told by a Herald, is raised."""
    failures: list[HeadraceError] = []

    @asynccontextmanager
    async def started(process: Process) -> AsyncIterator[Sequence[Service]]:
        async with AsyncExitStack() as stack:
            try:
                services = await stack.enter_async_context(start(process))
            except HeadraceError as error:
                failures.append(error)
                process.stop.set()
                # What follows is the end of a life that never began: nothing of it is worth a line.
                configure("error", settings.log_format, process.secrets, process.clock)
                services = ()
            yield [_Telling(service, failures, process.stop) for service in services]

    code = run(started, settings=settings, grace=grace)
    if failures:
        raise failures[0]
    return code


class _Telling:
    """A service whose expected errors end the command with one line instead of a traceback."""

    def __init__(self, service: Service, failures: list[HeadraceError], stop: asyncio.Event) -> None:
        self._service = service
        self._failures = failures
        self._stop = stop

    @property
    def name(self) -> str:
        return self._service.name

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._service.run(stop)
        except HeadraceError as error:
            self._failures.append(error)
            self._stop.set()

    async def ready(self) -> bool:
        return await self._service.ready()


class Answering(Protocol):
    """What a Herald waits for."""

    @property
    def name(self) -> str: ...

    async def ready(self) -> bool: ...


class Herald:
    """A service that says, once, that all the others are ready; raises HeadraceError when they are not in time."""

    name = "herald"

    def __init__(
        self, services: Sequence[Answering], announce: Callable[[], Awaitable[None]], *, patience: float = READY_WITHIN
    ) -> None:
        self._services = services
        self._announce = announce
        self._patience = patience

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while waiting := [service.name for service in self._services if not await _answers(service)]:
            if stop.is_set():
                return
            if loop.time() > deadline:
                raise HeadraceError(
                    f"Not ready within {self._patience:.0f} s: {', '.join(waiting)}",
                    hint="`headrace doctor` looks at the settings and the servers.",
                )
            await asyncio.sleep(_POLL_SECONDS)
        await self._announce()
        await stop.wait()

    async def ready(self) -> bool:
        return True


async def _answers(service: Answering) -> bool:
    try:
        return await service.ready()
    except Exception:  # noqa: BLE001 - the port allows any: whatever keeps it from answering, it is not ready
        return False


class ServerWatch:
    """A service that ends the process when an embedded server dies: nothing of ours can bring it back."""

    name = "embedded-servers"

    def __init__(self, servers: EmbeddedServers) -> None:
        self._servers = servers

    async def run(self, stop: asyncio.Event) -> None:
        ended, stopping = asyncio.create_task(self._servers.ended()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not stop.is_set():
                raise HeadraceError(ended.result(), hint="Start it again: the data is kept.")
        finally:
            for task in (ended, stopping):
                task.cancel()

    async def ready(self) -> bool:
        return True


def process_settings(environ: Mapping[str, str] | None = None) -> ProcessSettings:
    """From the environment; who sits at a terminal reads lines, not JSON, unless HEADRACE_LOG_FORMAT says so."""
    variables = environment() if environ is None else environ
    if sys.stderr.isatty():
        variables = {"HEADRACE_LOG_FORMAT": "console", **{name: text for name, text in variables.items() if text}}
    return load(ProcessSettings, variables)


def setting_problem(setting: str, error: ValueError) -> StartupError:
    """A value that only its user could judge, as every other wrong setting is told."""
    return StartupError(f"{setting}: {error}", hint="See the settings table in docs/operations.md.")
