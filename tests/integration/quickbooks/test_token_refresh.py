"""Rotating refresh tokens: one refresher over all processes, and no connection lost, whatever dies where."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline import eventually, new_ring
from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.faults import ExchangeFault
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.serving import running

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROCESSES, TASKS, SPARES = 5, 10, 2
SETTLE = 1.0
STEPS = (
    "", "before-mark", "after-mark", "before-call", "in-call:before", "in-call:after", "after-reply", "before-store",
    "after-store", "drop:before", "drop:after", "status:before", "status:after",
)  # fmt: skip
"""Nobody dies; somebody dies there; the vendor's answer is lost or a fault, before or after the tokens change."""


@dataclass
class Crew:
    """Processes that share one consent."""

    state: QuickBooksState
    start: dict[str, Any]
    folder: Path
    processes: list[Process] = field(default_factory=list)
    spares: list[Process] = field(default_factory=list)
    version: int = 0

    async def hire(self) -> None:
        """Until the crew is whole again. Spare ones start while the others work."""
        while len(self.processes) + len(self.spares) < PROCESSES + SPARES:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(HERE / "refreshing_worker.py"),
                stdin=PIPE,
                stdout=PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            tell(process, self.start)
            self.spares.append(process)
        missing = PROCESSES - len(self.processes)
        hired, self.spares = self.spares[:missing], self.spares[missing:]
        await asyncio.gather(*(self._ready(process) for process in hired))
        self.processes += hired

    async def dismiss(self) -> None:
        for process in (*self.processes, *self.spares):
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def _ready(self, process: Process) -> None:
        assert process.stdout is not None
        said = ""
        async with asyncio.timeout(60):
            while said != "ready":  # log lines may come first
                line = await process.stdout.readline()
                assert line, "the process ended before it was ready"
                said = line.decode().strip()

    async def refresh(self, number: int, fatal: str, *, victim: bool) -> list[Any]:
        """Everybody wants a token newer than the last; what the survivors got."""
        mark = self.folder / f"round-{number}"
        for process in self.processes:
            tell(process, {"fatal": fatal, "mark": str(mark), "refused": self.version, "tasks": TASKS})
        answers = asyncio.gather(*(answer(process) for process in self.processes))
        if fatal == "in-call":
            await eventually(self._in_flight, bool, within=30)
            os.kill(int(mark.read_text()), signal.SIGKILL)
        got = await answers
        dead = [process for process, result in zip(self.processes, got, strict=True) if result is None]
        assert len(dead) == victim, f"{len(dead)} processes died at {fatal!r}"
        for process in dead:
            await process.wait()
        self.processes = [process for process in self.processes if process not in dead]
        return [one for result in got if result is not None for one in result]

    async def _in_flight(self) -> bool:
        return any(entry.working for entry in self.state.sign_in.log.exchanges)


def tell(process: Process, order: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")


async def answer(process: Process) -> list[Any] | None:
    """None when it died."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while line := await process.stdout.readline():
            if line.startswith(b"[["):
                found: list[Any] = json.loads(line)
                return found
    return None


@asynccontextmanager
async def crew_of(database_url: str, state: QuickBooksState, url: str, folder: Path) -> AsyncIterator[Crew]:
    grant = {
        "id": str(uuid4()),
        "user_id": str(uuid4()),
        "used_by": str(uuid4()),
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "token_url": f"{url}/oauth2/v1/tokens/bearer",
        "account": "a company",
        "first_refresh_token": state.grant()["refresh_token"],
    }
    start = {
        "grant": grant, "database_url": database_url, "master_keys": new_ring().to_text(), "settle": SETTLE
    }  # fmt: skip
    crew = Crew(state, start, folder)
    try:
        await crew.hire()
        yield crew
    finally:
        await crew.dismiss()


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.soak)])
@pytest.mark.timeout(1800)
async def test_50_tasks_in_5_processes_never_refresh_twice_at_once_and_never_lose_the_connection(
    database_url: str, tmp_path: Path, rounds: int
) -> None:
    state = QuickBooksState(switches=Switches(rotate_after_hours=0, grace_hours=24))
    async with running(build_app(state)) as url, crew_of(database_url, state, url, tmp_path) as crew:
        for number in range(rounds):
            step = STEPS[number % len(STEPS)]
            kind, _, when = step.partition(":")
            state.sign_in.faults.set(*fault_of(kind, when))
            fatal = kind if kind not in ("drop", "status") else ""

            got = await crew.refresh(number, fatal, victim=bool(fatal))

            failed = [text for version, text in got if version == 0]
            if kind in ("drop", "status"):  # whoever made the call says so; the others' own tries succeed
                assert all(text.startswith("NETWORK_ERROR") for text in failed), failed
                assert 1 <= len(failed) < len(got), failed
            else:
                assert failed == [], (step, failed)
            tokens = {(version, text) for version, text in got if version}
            assert len(tokens) == 1, (step, tokens)
            crew.version, newer = tokens.pop()[0], crew.version
            assert crew.version > newer
            log = state.sign_in.log
            assert log.max_in_flight() == 1, step
            assert log.lost(state.tokens.grants) == [], step
            await crew.hire()


def fault_of(kind: str, when: str) -> list[ExchangeFault]:
    moment: Any = when
    match kind:
        case "in-call":
            return [ExchangeFault(kind="delay", when=moment, ms=250, count=1)]
        case "drop" | "status":
            return [ExchangeFault(kind="drop" if kind == "drop" else "status", when=moment, count=1)]
        case _:
            return []
