"""What a phase cost: wall, CPU of the contender and of each server, peak memory of the contender, WAL."""

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import asyncpg
import psutil

LOOK_EVERY = 0.2
"""Seconds between two looks at the memory. Looking costs CPU, so it is the same for everybody."""


@dataclass
class Cost:
    """Filled in when the measured block ends. Seconds, megabytes (10^6)."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    cpu_servers_s: dict[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0
    """Summed over the contender's processes; pages that they share are counted in each."""
    processes: int = 0
    wal_mb: float = 0.0


class Meter:
    """Measures blocks of work against one set of servers."""

    def __init__(self, database: str, servers: dict[str, str]) -> None:
        self._database = database
        self._servers = {name: _listening_on(urlsplit(url).port) for name, url in servers.items()}

    @asynccontextmanager
    async def measured(self, root: int | None = None) -> AsyncIterator[Cost]:
        """`root`: a process that lives longer than the block, with its children. Else what the block starts counts."""
        cost = Cost()
        admin = await asyncpg.connect(self._database)
        try:
            await admin.execute("checkpoint")  # at the same place for everybody: full pages are logged after it
            servers = {name: _cpu(_tree(pid)) for name, pid in self._servers.items()}
            wal = await admin.fetchval("select pg_current_wal_lsn()::text")
            mine, reaped, started = _cpu(_tree(root)), _reaped(), time.perf_counter()
            watch = asyncio.create_task(_watch(root, cost))
            try:
                yield cost
            finally:
                cost.wall_s = time.perf_counter() - started
                watch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watch
            cost.cpu_s = _cpu(_tree(root)) - mine if root else _reaped() - reaped
            cost.cpu_servers_s = {name: _cpu(_tree(pid)) - servers[name] for name, pid in self._servers.items()}
            written = await admin.fetchval("select pg_current_wal_lsn() - $1::text::pg_lsn", wal)
            cost.wal_mb = float(written) / 1e6
        finally:
            await admin.close()


async def _watch(root: int | None, cost: Cost) -> None:
    before = set() if root else {process.pid for process in psutil.Process().children(recursive=True)}
    while True:
        await asyncio.sleep(LOOK_EVERY)
        tree = _tree(root) if root else [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
        cost.peak_rss_mb = max(cost.peak_rss_mb, _rss(tree) / 1e6)
        cost.processes = max(cost.processes, len(tree))


def _tree(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu(processes: Iterable[psutil.Process]) -> float:
    """Seconds of those that live, and of those that they have reaped."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])  # user, system, and both of the reaped children
    return total


def _reaped() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rss(processes: Iterable[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _listening_on(port: int | None) -> int | None:
    """The process behind a local port; None when it is elsewhere or not ours to see."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                pid: int | None = connection.pid
                return pid
    return None
