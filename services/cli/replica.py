"""One process of one service: started, started again when it dies, stopped."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Mapping

from services.cli.scaling import ServiceName
from services.cli.stack.process import free_port
from shared.errors import StartupError
from shared.observability.logging import get_logger
from shared.runtime.main import EXIT_SETTINGS

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between a death and the next start; doubled with each death."""
STEADY_SECONDS = 10.0
"""Who has lived that long begins with the first pause again."""
REFUSALS = 3
"""Before its first readiness, a service that refuses its settings so often will not change its mind."""
_PROBE_SECONDS = 3.0

EnvironmentFor = Callable[[int], Mapping[str, str]]
"""The process' environment, given the port of its /readyz."""


class Replica:
    """`changed` is called after each birth and death."""

    def __init__(
        self,
        service: ServiceName,
        number: int,
        environment: EnvironmentFor,
        changed: Callable[[], None],
        *,
        probe_host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.service = service
        self.name = f"{service}-{number}"
        self._environment = environment
        self._changed = changed
        self._probe_host = probe_host
        self._fixed_port = port
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._was_ready = False

    @property
    def pid(self) -> int | None:
        """None while there is no process."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def ready(self) -> bool:
        """Whether its process says so."""
        answer = self.pid is not None and await _says_ready(self._probe_host, self._port)
        self._was_ready |= answer
        return answer

    async def keep(self, stop: asyncio.Event) -> None:
        """Run it until `stop`, whatever it dies of; it is still running then.

        Raises StartupError when it refuses its settings again and again without ever having been ready.
        """
        log = get_logger("supervisor")
        loop = asyncio.get_running_loop()
        pause, refusals = FIRST_PAUSE, 0
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                born = loop.time()
                process = await self._start()
                dying = asyncio.create_task(process.wait())
                try:
                    await asyncio.wait({dying, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if not dying.done():
                        return
                finally:
                    dying.cancel()
                self._changed()
                if stop.is_set():
                    return
                refusals = refusals + 1 if process.returncode == EXIT_SETTINGS and not self._was_ready else 0
                if refusals == REFUSALS:
                    raise StartupError(f"{self.name} refuses to start", hint="Its own message is above.")
                if loop.time() - born > STEADY_SECONDS:
                    pause = FIRST_PAUSE
                log.warning("replica_died", replica=self.name, code=process.returncode, restart_in_seconds=pause)
                await asyncio.wait({stopping}, timeout=pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            stopping.cancel()

    async def _start(self) -> asyncio.subprocess.Process:
        # A free port may be taken by somebody else until the service listens: each start takes another.
        self._port = self._fixed_port or free_port()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a folder `services` where the user happens to be is not ours
            "-m",
            "services.cli.tether",
            f"services.{self.service}",
            stdin=asyncio.subprocess.PIPE,  # the tether: closed by the kernel when we are gone
            env=dict(self._environment(self._port)),
        )
        self._changed()
        return self._process

    def terminate(self) -> None:
        """Ask it to drain and end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def gone(self) -> None:
        """Return when it has ended."""
        if self._process is not None:
            await self._process.wait()


async def _says_ready(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
