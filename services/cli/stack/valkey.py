"""One embedded Valkey: its data directory, its server as a child process, and its take-over after a crash."""

import asyncio
import contextlib
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from services.cli.stack import process
from services.cli.stack.binaries import valkey_server
from services.cli.stack.places import open_private, secret, write_private
from shared.errors import StartupError

_READY_SECONDS = 30.0
_TERMINATE, _KILL = (signal.SIGTERM, 8.0), (signal.SIGKILL, 2.0)
_START_ATTEMPTS = 5
# A file, since arguments are seen by every user of the machine. The limiter's state must never be evicted.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir ./
pidfile valkey.pid
maxmemory-policy noeviction
save ""
appendonly yes
appendfsync {appendfsync}
"""


class EmbeddedValkey:
    """`async with EmbeddedValkey(data_dir) as valkey:` runs the wheel's Valkey in `data_dir/valkey` and stops it after.

    `data_dir` exists. Raises StartupError.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._directory = data_dir
        self._home = data_dir / "valkey"
        self._durable = durable
        self._log = data_dir / "valkey.log"
        self._process: asyncio.subprocess.Process | None = None
        self._exits = AsyncExitStack()
        self._url = ""

    @property
    def url(self) -> str:
        """URL of database 0, with the password."""
        return self._url

    async def __aenter__(self) -> Self:
        program = valkey_server()
        async with AsyncExitStack() as exits:
            self._home.mkdir(mode=0o700, exist_ok=True)
            await self._stop_leftover(program.name)
            exits.push_async_callback(self._stop)
            await self._start(program, secret(self._directory / "valkey.password"))
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def ended(self) -> str:
        """Return, when the server ends without having been told to, a sentence that says so."""
        assert self._process is not None
        code = await self._process.wait()
        return f"Valkey ended with code {code}; see {self._log}"

    async def _start(self, program: Path, password: str) -> None:
        """Start the server on a free port, again on another when somebody took that one first."""
        for _ in range(_START_ATTEMPTS):
            port = process.free_port()
            appendfsync = "everysec" if self._durable else "no"
            configuration = _CONFIGURATION.format(port=port, password=password, appendfsync=appendfsync)
            write_private(self._home / "valkey.conf", configuration)
            with open_private(self._log) as log:
                written = os.fstat(log.fileno()).st_size
                self._process = await asyncio.create_subprocess_exec(
                    program,
                    "valkey.conf",
                    cwd=self._home,
                    env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for us: we stop the server after its clients
                )
            if await self._ready(self._process, port, password):
                self._url = f"redis://:{password}@127.0.0.1:{port}/0"
                return
            if b"Address already in use" not in self._log.read_bytes()[written:]:
                break
        raise self._failure("Valkey does not start")

    async def _ready(self, server: asyncio.subprocess.Process, port: int, password: str) -> bool:
        """Whether it answers to our password; False when it ended."""
        deadline = time.monotonic() + _READY_SECONDS
        while server.returncode is None:
            if await _answers(port, password):
                return True
            if time.monotonic() > deadline:
                raise self._failure(f"Valkey is not ready after {_READY_SECONDS:.0f} s")
            await asyncio.sleep(0.02)
        return False

    async def _stop_leftover(self, program: str) -> None:
        """End the server that a killed parent left in our directory."""
        try:
            pid = int((self._home / "valkey.pid").read_text())
        except (FileNotFoundError, ValueError):
            return
        if process.runs_in(pid, program, self._home):
            await process.end(pid, _TERMINATE, _KILL)

    def _failure(self, message: str) -> StartupError:
        tail = self._log.read_text(errors="replace").splitlines()[-3:]
        return StartupError(f"{message}: {' | '.join(tail)}", hint=f"See {self._log}.")

    async def _stop(self) -> None:
        if self._process is None:
            return
        for number, seconds in (_TERMINATE, _KILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._process.wait()


async def _answers(port: int, password: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"AUTH {password}\r\nPING\r\n".encode())
        async with asyncio.timeout(5):
            answers = [await reader.readline() for _ in range(2)]
    except (OSError, TimeoutError):
        return False
    else:
        return answers == [b"+OK\r\n", b"+PONG\r\n"]
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
