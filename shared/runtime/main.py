"""The life of one process: logging, signals, resources, services, health server, exit code."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Annotated, Final

import uvloop
from prometheus_client import Histogram
from pydantic import BeforeValidator, Field

from shared.clock import Clock, SystemClock
from shared.config import SettingsModel, load
from shared.errors import StartupError
from shared.observability.logging import LogFormat, LogLevel, configure, get_logger
from shared.observability.metrics import Metrics
from shared.observability.redaction import Redactor
from shared.observability.secrets import SecretRegistry
from shared.observability.tracing import NoTracing, Tracing, tracing_to
from shared.runtime.health import HealthApp, Readiness, listen, serving
from shared.runtime.service import Service, run_services

EXIT_CLEAN: Final = 0
EXIT_CRASHED: Final = 1
EXIT_SETTINGS: Final = 2

CLOSING_SECONDS = 3.5
"""After the grace period, for closing resources; then the process ends whatever hangs. 15 + 3.5 < 20 s of `up`."""
LAG_INTERVAL = 0.5
"""Seconds between two samples of the event loop's lag."""
COLLECT_EVERY = 20_000
"""Containers that are made until Python looks for circles among them. Its own 700 is reached several times in one page
of records, which has no circles and goes by itself; each look walked through all of it."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class ProcessSettings(SettingsModel):
    """What every process has, whichever services it runs."""

    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = "info"
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = "json"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """0: no /metrics, /healthz and /readyz beside the services."""
    otlp_endpoint: str = Field(default="", pattern=r"^(https?://[^@\s]+)?$")
    """Where spans go; empty: nowhere."""


@dataclass(frozen=True, slots=True)
class Process:
    """What the process hands to its composition root."""

    secrets: SecretRegistry
    metrics: Metrics
    clock: Clock
    stop: asyncio.Event
    """Set once, when the process shall end; a composition root may set it too."""
    tracing: Tracing = field(default_factory=NoTracing)


Start = Callable[[Process], AbstractAsyncContextManager[Sequence[Service]]]


def run(start: Start, *, name: str = "headrace", settings: ProcessSettings | None = None, grace: float = 15.0) -> int:
    """Run the services that `start` opens, until SIGTERM or SIGINT or the death of one. Returns the exit code.

    0: stopped, also while still starting. 1: a service or a resource crashed. 2: StartupError, told in one line on
    stderr. `name`: what its spans are filed under. `settings`: default from the environment. `grace` in seconds: how
    long services may drain; what then hangs for `CLOSING_SECONDS` more is ended by SIGALRM. The same signal twice ends
    the process at once (128 + signal). A SIGTERM after a SIGINT does not: Ctrl-C reaches a supervisor and its children
    together, and the supervisor then
    asks its children politely.
    """
    secrets, clock = SecretRegistry(), SystemClock()
    try:
        settings = settings or load(ProcessSettings)
        configure(settings.log_level, settings.log_format, secrets, clock)
        tracing = tracing_to(settings.otlp_endpoint, name)
        process = Process(secrets, Metrics(), clock, asyncio.Event(), tracing)
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        with _signals(runner.get_loop(), process.stop, grace), runner:
            return runner.run(_until_stopped(start, process, settings, grace))
    except Exception as error:  # noqa: BLE001 - the last line of the process: everything becomes an exit code
        return _report(error, Redactor(secrets))


async def _until_stopped(start: Start, process: Process, settings: ProcessSettings, grace: float) -> int:
    started = asyncio.Event()
    # One task from opening to closing: task groups and timeouts inside `start` must be left by who entered them.
    life = asyncio.create_task(_life(start, process, settings, grace, started), name="life")
    stopping = asyncio.create_task(process.stop.wait(), name="stop")
    try:
        await asyncio.wait([life, stopping], return_when=asyncio.FIRST_COMPLETED)
        _arm_deadline(grace)
        if not started.is_set() and not life.done():
            life.cancel()  # told to stop while opening: nothing is in hand
        await asyncio.wait([life])
    finally:
        stopping.cancel()
        life.cancel()
    if life.cancelled():
        if not process.stop.is_set():
            raise RuntimeError("the process was cancelled from inside")
        return EXIT_CLEAN
    life.result()
    get_logger("runtime").info("stopped")
    return EXIT_CLEAN


async def _life(
    start: Start, process: Process, settings: ProcessSettings, grace: float, started: asyncio.Event
) -> None:
    readiness = Readiness(process.stop)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(process.tracing.close)
        if settings.metrics_port:
            listener = listen(settings.metrics_host, settings.metrics_port)
            app = HealthApp(process.metrics.registry, readiness)
            await stack.enter_async_context(serving(app, listener))
        await stack.enter_async_context(_sampling_lag(process.metrics.event_loop_lag_seconds))
        services = await stack.enter_async_context(start(process))
        started.set()
        _collect_rarely()
        readiness.opened(services)
        get_logger("runtime").info("started", services=[service.name for service in services])
        await run_services(services, process.stop, grace)


def _collect_rarely() -> None:
    gc.collect()
    gc.freeze()  # what is there now stays: modules, classes, compiled models
    _, second, third = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, second, third)


@asynccontextmanager
async def _sampling_lag(histogram: Histogram) -> AsyncIterator[None]:
    async def sample() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            histogram.observe(max(0.0, loop.time() - due))

    task = asyncio.create_task(sample(), name="event-loop-lag")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, grace: float) -> Iterator[None]:
    seen: set[int] = set()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number in seen:
            os._exit(128 + number)
        seen.add(number)
        _arm_deadline(grace)
        with contextlib.suppress(RuntimeError):  # the loop is closed already: we are at the end anyway
            loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a parent may have left it ignored
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _arm_deadline(grace: float) -> None:
    """End the process, by the kernel's hand (SIGALRM), when it has not ended in time.

    A task could not do it when the event loop hangs, nor could a thread be started safely from a signal handler.
    """
    if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
        signal.setitimer(signal.ITIMER_REAL, grace + CLOSING_SECONDS)


def _report(error: Exception, redactor: Redactor) -> int:
    startup = _find_startup_error(error)
    if startup is None:
        get_logger("runtime").error("crashed", exc_info=error)
        return EXIT_CRASHED
    lines = f"headrace: {startup.message}\n" + (f"  {startup.hint}\n" if startup.hint else "")
    sys.stderr.write(redactor.text(lines))
    return EXIT_SETTINGS


def _find_startup_error(error: BaseException) -> StartupError | None:
    """Also inside the group that a TaskGroup makes of what happened in it."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_find_startup_error, error.exceptions)), None)
    return error if isinstance(error, StartupError) else None
