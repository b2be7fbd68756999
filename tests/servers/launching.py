"""What every launcher needs: a private directory, a child with its own process group, a wait for its port."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.stack.places import Account, reachable
from services.cli.stack.process import free_port

START_SECONDS = 60.0
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 10**9
_POLL = threading.Event()  # never set: a wait on it is a pause that Ctrl-C can break


class ServerUnavailableError(Exception):
    """This way of getting the server is closed on this machine; the next one may be open."""


class EndedEarlyError(ServerUnavailableError):
    """The server ended while it started: it lost its port to somebody, or cannot run here at all."""


@dataclass
class Running:
    """A server that somebody has to end. `end` is safe to call twice."""

    url: str
    end: Callable[[], None] = field(default=lambda: None)
    control: Callable[..., str] | None = None
    """Runs the server's administration program: `control("add_user", "x", stdin="its password")`, what it printed."""


def account_of(*names: str) -> Account:
    """Ourselves, or as root the first of the accounts `names` that exists: the servers refuse to run as root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ServerUnavailableError(f"we are root and there is none of the accounts {', '.join(names)}")


def private_directory(kind: str, account: Account, *, in_memory: bool = False) -> Path:
    """A new directory that belongs to `account` and that it can reach, whatever TMPDIR says.

    `in_memory`: in the machine's memory, if that has room for it.
    """
    on_disk = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))
    for parent in (_MEMORY, *on_disk) if in_memory and _has_room(_MEMORY) else on_disk:
        if parent.is_dir() and reachable(parent, account):
            directory = Path(tempfile.mkdtemp(prefix=f"headrace-{kind}-", dir=parent))
            if account.other:
                os.chown(directory, account.uid, account.gid)
            return directory
    raise ServerUnavailableError("no temporary directory that the server's account can reach")


def _has_room(directory: Path) -> bool:
    return directory.is_dir() and shutil.disk_usage(directory).free >= _ROOM


class Child:
    """One server process in its own session: Ctrl-C reaches pytest first, which then ends the servers."""

    def __init__(
        self, command: Sequence[str | Path], directory: Path, account: Account, env: Mapping[str, str]
    ) -> None:
        self.log = directory / "output.log"
        self._directory = directory
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": str(directory), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.uid if account.other else None,
                group=account.gid if account.other else None,
                extra_groups=[] if account.other else None,
            )

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Return when it `answers`. Raises EndedEarlyError, or after a minute ServerUnavailableError."""
        for _ in range(int(START_SECONDS / 0.05)):
            if self._process.poll() is not None:
                raise EndedEarlyError(f"ended while it started: {self.tail()}")
            if answers():
                return
            _POLL.wait(0.05)
        raise ServerUnavailableError(f"not ready after {START_SECONDS:.0f} s: {self.tail()}")

    def finish(self) -> None:
        """Wait for a command that ends by itself. Raises ServerUnavailableError when it fails."""
        if self._process.wait(START_SECONDS) != 0:
            raise ServerUnavailableError(self.tail())

    def tail(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-4:])

    def send(self, number: signal.Signals) -> None:
        """To its whole group."""
        os.killpg(self._process.pid, number)

    def end(self, first: signal.Signals, seconds: float) -> None:
        """Signal the process, give it `seconds`, then end its whole group."""
        if self._process.poll() is None:
            self._process.send_signal(first)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left, or on macOS only zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def says(port: int, question: bytes, answer: bytes) -> bool:
    """Whether what listens on `port` answers `question` with something that starts with `answer`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(len(answer)) == answer
    except OSError:
        return False


def listens(port: int) -> bool:
    return says(port, b"", b"")


def on_free_ports(start: Callable[[list[int]], Running], count: int = 1) -> Running:
    """Call `start` with `count` free ports, again with others when it loses them to somebody else meanwhile."""
    for _ in range(3):
        with contextlib.suppress(EndedEarlyError):
            return start([free_port() for _ in range(count)])
    return start([free_port() for _ in range(count)])
