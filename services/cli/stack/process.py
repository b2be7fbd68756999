"""What the launchers ask the operating system: which process is it, is it alive, which port is free."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

_POLL_SECONDS = 0.02
_PROC = Path("/proc")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago; whoever binds it must be ready to lose the race."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether `pid` runs. A zombie does not: where nothing reaps orphans a dead server stays one for ever."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's process, but a process
    try:
        state = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not _PROC.joinpath("self").exists()  # no procfs here: kill's answer stands
    return state not in {"Z", "X"}


def runs_in(pid: int, program: str, directory: Path) -> bool:
    """Whether `pid` is alive, executes a file named `program` and works in `directory`.

    Both servers change into their data directory, so this tells ours from a stranger that was given a recycled pid.
    """
    if pid <= 1 or not alive(pid):
        return False
    if _PROC.joinpath("self").exists():
        try:
            executable = (_PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)")
            return executable == program and _same(_PROC / str(pid) / "cwd", directory)
        except OSError:
            return False
    named = _output("ps", "-o", "comm=", "-p", str(pid)).strip()
    where = [
        line[1:] for line in _output("lsof", "-a", "-d", "cwd", "-p", str(pid), "-Fn").splitlines() if line[:1] == "n"
    ]
    return Path(named).name == program and any(_same(Path(path), directory) for path in where)


def working_in(directory: Path) -> list[int]:
    """Pids of the processes that work in `directory`; empty where there is no procfs to ask."""
    found: list[int] = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            if _same(entry / "cwd", directory) and alive(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue  # gone meanwhile, or not ours to look at
    return found


async def wait_until_gone(pid: int, seconds: float) -> bool:
    """Whether `pid`, which need not be a child of ours, ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def end(pid: int, *steps: tuple[signal.Signals, float]) -> None:
    """Send each signal in turn, giving `pid` the seconds beside it to end, until it has."""
    for number, seconds in steps:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if await wait_until_gone(pid, seconds):
            return


def _same(link: Path, directory: Path) -> bool:
    return link.samefile(directory)


def _output(*command: str) -> str:
    # Only where there is no procfs; the command is ours, fixed, and gets no input from outside.
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
