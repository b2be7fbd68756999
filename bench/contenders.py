"""Who runs: each gets a database of its own, takes three syncs of one source, and says where its rows are."""

import asyncio
import base64
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from machines import Servers
from records import RENAMED

HERE = Path(__file__).parent
FIELDS = ("sku", "name", "quantity_on_hand", "preferred_vendor_id", "unit_cost", "source_updated_at")
"""Our names of what RENAMED lists."""
SCALE = ("fetcher=2", "transformer=2", "writer=2")
MOST_SECONDS = 900.0
"""A sync that takes longer is given up."""


@dataclass(frozen=True)
class Job:
    """What a contender is given for its three syncs."""

    servers: Servers
    database: str
    source: str
    rows: int
    page: int
    directory: Path
    """Empty, its own."""


@dataclass(frozen=True)
class Synced:
    """What a contender tells about a sync itself."""

    own_s: float
    """Its own clock: without the start of a process, and without our asking and hearing."""
    told: dict[str, int]
    """Counters, where it has any."""


class Ready(Protocol):
    """A contender that can be asked to sync."""

    root: int | None
    """The process that is there all the time; None: a sync is a process."""

    async def sync(self) -> Synced: ...


class Contender(Protocol):
    """`target`: the relation for check.sql."""

    name: str
    target: str

    def ready(self, job: Job) -> AbstractAsyncContextManager[Ready]: ...


class Program:
    """A program that syncs once and ends, as a timer would start it."""

    def __init__(self, name: str, python: Path, target: str) -> None:
        self.name = name
        self.target = target
        self._python = python

    @asynccontextmanager
    async def ready(self, job: Job) -> AsyncIterator[Ready]:
        yield _Once(self._python, HERE / "peers" / f"{self.name.replace('-', '_')}.py", job)


class _Once:
    root: int | None = None

    def __init__(self, python: Path, script: Path, job: Job) -> None:
        self._command = (str(python), str(script))
        self._log = job.directory / "log"
        state = job.directory / "state"
        state.mkdir()
        document = {
            "source": job.source,
            "page": job.page,
            "rows": job.rows,
            "renamed": RENAMED,
            "database": job.database,
            "amqp": job.servers.amqp,
            "prefix": f"bench-{secrets.token_hex(4)}-",
            "state": str(state),
        }
        self._environ = {**os.environ, "BENCH_JOB": json.dumps(document)}

    async def sync(self) -> Synced:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environ, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        try:
            async with asyncio.timeout(MOST_SECONDS):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise SystemExit(f"{self._command[1]} failed:\n{_tail(self._log)}")
        return Synced(json.loads(out.decode().strip().splitlines()[-1])["own_s"], {})


class Headrace:
    """Ours, as separate processes. It stands ready when the sync is asked for; its start is told apart."""

    name = "headrace"
    target = (
        "(select sku, name, quantity_on_hand as quantity, preferred_vendor_id as supplier, unit_cost, "
        "source_updated_at as updated_at from public.inventory where deleted_at is null) t"
    )

    def __init__(self) -> None:
        self.start_s: list[float] = []

    @asynccontextmanager
    async def ready(self, job: Job) -> AsyncIterator[Ready]:
        data, log, token = job.directory / "data", job.directory / "log", secrets.token_hex(4)
        environ = {
            **os.environ,
            "PYTHONPATH": str(HERE.parent),
            "HEADRACE_DATABASE_URL": job.database,
            "HEADRACE_AMQP_URL": job.servers.amqp,
            "HEADRACE_REDIS_URL": job.servers.redis,
            "HEADRACE_AMQP_PREFIX": f"bench-{token}-",
            "HEADRACE_REDIS_PREFIX": f"bench-{token}:",
            "HEADRACE_MASTER_KEYS": f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "HEADRACE_EGRESS_ALLOW": job.source.removeprefix("http://"),
        }
        started = time.perf_counter()
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.cli", "up", "--dev-user", "--port", "0", "--data-dir", str(data),
                "--scale", *SCALE, env=environ, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            endpoints = await _announced(data / "endpoints.json", process, log)
            self.start_s.append(time.perf_counter() - started)
            bearer = {"Authorization": f"Bearer {endpoints['token']}"}
            async with aiohttp.ClientSession(endpoints["gateway_url"], headers=bearer) as api:
                async with api.post("/api/sources", json=self.source(job)) as answer:
                    if answer.status != 201:
                        raise SystemExit(f"the gateway refused the source: {await answer.text()}")
                    source_id = (await answer.json())["id"]
                yield _Standing(api, source_id, process.pid, log)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    def source(self, job: Job) -> dict[str, Any]:
        """As it is sent to our gateway."""
        inventory = {
            "url": f"{job.source}/items?page=1&size={job.page}",
            "records_path": "items",
            "id_path": "partNumber",
            "pagination": {"type": "link", "next_path": "next"},
        }
        return {
            "source_type": "json_api",
            "display_name": "bench",
            "config": {"entities": {"inventory": inventory}},
            "credentials": {"type": "none"},
            "field_mappings": {"inventory": dict(zip(FIELDS, RENAMED, strict=True))},
            "sync_frequency": "manual",
        }


class _Standing:
    def __init__(self, api: aiohttp.ClientSession, source_id: str, root: int, log: Path) -> None:
        self.root: int | None = root
        self._api = api
        self._source_id = source_id
        self._log = log

    async def sync(self) -> Synced:
        async with asyncio.timeout(MOST_SECONDS):
            async with self._api.post(f"/api/sources/{self._source_id}/sync", json={"force": True}) as answer:
                if answer.status != 202:
                    raise SystemExit(f"the gateway refused the sync: {await answer.text()}")
                run_id = (await answer.json())["run_id"]
            run = await self._finished(run_id)
        if run["status"] != "succeeded":
            raise SystemExit(f"the run ended {run}\n{_tail(self._log)}")
        told = {name: value for name, value in run["entities"]["inventory"].items() if isinstance(value, int)}
        return Synced(_seconds(run["requested_at"], run["finished_at"]), told)

    async def _finished(self, run_id: str) -> dict[str, Any]:
        event = b""
        async with self._api.get(f"/api/runs/{run_id}/events", timeout=aiohttp.ClientTimeout()) as stream:
            async for line in stream.content:
                name, _, value = line.rstrip().partition(b": ")
                if name == b"event":
                    event = value
                elif name == b"data" and event == b"finish":
                    run: dict[str, Any] = json.loads(value)
                    return run
        raise SystemExit(f"the stream of events ended before the run\n{_tail(self._log)}")


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


async def _announced(file: Path, process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    for _ in range(900):
        if await asyncio.to_thread(file.exists):
            document: dict[str, Any] = json.loads(await asyncio.to_thread(file.read_text))
            return document
        if process.returncode is not None:
            break
        await asyncio.sleep(0.1)
    raise SystemExit(f"headrace up did not become ready:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text()[-3000:]
