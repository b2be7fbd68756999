"""`headrace demo`: the embedded stack in a temporary directory, a source of each connector synced twice, and away."""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TextIO

from services.cli.data_dir import DataDir
from services.cli.demo_screen import DemoScreen
from services.cli.demo_sources import DEMO_SOURCES, DemoSource, serving_sandboxes
from services.cli.demo_tour import DemoTour
from services.cli.embedded import embedded_stack
from services.cli.living import live
from services.cli.scaling import parse_scale
from services.cli.stack.places import write_private
from shared.config import PREFIX, environment
from shared.errors import HeadraceError
from shared.observability.logging import configure
from shared.runtime.main import Process, ProcessSettings
from shared.runtime.service import Service

GRACE = 8.0
LOG = "demo.log"


def demo() -> None:
    """See it at work: sync a source of each connector into a PostgreSQL of its own, twice, and leave nothing behind.

    Everything runs on this machine, the vendors are stand-ins on loopback. Needs no settings.
    """
    run_demo(DEMO_SOURCES, DemoScreen(sys.stdout))


def run_demo(sources: Sequence[DemoSource], screen: DemoScreen) -> None:
    """Raises HeadraceError when anything was not as it should be; then, alone, the log stays."""
    directory = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    # The embedded PostgreSQL, which runs as another account when we are root, must pass through; what is in here is
    # readable by us alone, file by file.
    directory.chmod(0o755)
    with _cleaning(directory):
        log_file = directory / LOG
        write_private(log_file, "")
        try:
            with log_file.open("a", encoding="utf-8") as log, DataDir(directory) as data:
                start = _Demo(data, sources, screen, log)
                live(start, ProcessSettings(), grace=GRACE)
            start.check_finished()
        except HeadraceError as error:
            kept = _keep(log_file)
            raise type(error)(error.message, hint=f"{error.hint} The log is {kept}.".strip()) from None


class _Demo:
    """A composition root (Start): stand-ins, the embedded stack that may call them, and the tour."""

    def __init__(self, data: DataDir, sources: Sequence[DemoSource], screen: DemoScreen, log: TextIO) -> None:
        self._data = data
        self._sources = sources
        self._screen = screen
        self._log = log
        self._finished = False

    @asynccontextmanager
    async def __call__(self, process: Process) -> AsyncIterator[Sequence[Service]]:
        configure("info", "json", process.secrets, process.clock, self._log)
        self._screen.say("Starting PostgreSQL, Valkey and the five services …")
        async with serving_sandboxes(self._data.path, self._sources) as sandboxes:
            # Nothing of the user's shell changes what is shown.
            environ = {name: text for name, text in environment().items() if not name.startswith(PREFIX)}
            environ["HEADRACE_GATEWAY_PORT"] = "0"
            environ["HEADRACE_EGRESS_ALLOW"] = ",".join(sandbox.authority for sandbox in sandboxes)
            async with embedded_stack(process, self._data, environ, scale=parse_scale(()), durable=False) as running:
                tour = DemoTour(running, sandboxes, self._screen, process.stop, self._done)
                yield [*running.services, tour]

    def _done(self) -> None:
        self._finished = True

    def check_finished(self) -> None:
        """Raises HeadraceError when the tour was cut short, by Ctrl-C or a crash."""
        if not self._finished:
            raise HeadraceError("The demo did not come to its end.")


@contextmanager
def _cleaning(directory: Path) -> Iterator[None]:
    try:
        yield
    finally:
        note = directory / "postgres.location"  # where the database is, when it could not be in here
        if note.exists():
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def _keep(log_file: Path) -> Path:
    """The log, moved out of the directory that goes away."""
    kept = Path(tempfile.mkdtemp(prefix="headrace-demo-log-")) / LOG
    return Path(shutil.move(log_file, kept))
