"""`headrace up`: the whole of Headrace, until it is told to stop."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data_dir import DEFAULT_DATA_DIR, ENDPOINTS, DataDir, Endpoints
from services.cli.demo_sources import serving_sandboxes
from services.cli.embedded import embedded_stack
from services.cli.living import Herald, live, process_settings
from services.cli.scaling import ServiceName, parse_scale
from services.cli.sign_in_link import sign_in_link
from services.cli.supervise import prepare
from shared.config import environment, load
from shared.errors import PlatformAwayError
from shared.runtime.main import Process
from shared.runtime.resources import PlatformSettings
from shared.runtime.service import Service

EMBEDDED_GRACE = 12.0
"""Seconds that the services may drain; the embedded servers then need some of what is left of 20."""
SUPERVISOR_GRACE = 18.0
"""Above the supervisor's own patience with its children."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line asks for."""

    data_dir: Path
    scale: Mapping[ServiceName, int]
    embedded: bool
    port: int | None
    dev_user: bool
    sandboxes: bool


def up(
    *,
    embedded: Annotated[
        bool,
        typer.Option("--embedded", help="One process with a PostgreSQL and a Valkey of its own; needs no settings."),
    ] = False,
    scale: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=COUNT …", help="Processes per service, for example fetcher=4 writer=2."),
    ] = None,
    more_scale: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    data_dir: Annotated[
        Path, typer.Option(help="Where endpoints.json is written, and where the embedded servers keep their data.")
    ] = DEFAULT_DATA_DIR,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The gateway's port, 0 for any free one.", show_default="8080")
    ] = None,
    dev_user: Annotated[
        bool,
        typer.Option("--dev-user", help="Write a token of a local user into endpoints.json (always when embedded)."),
    ] = False,
    sandboxes: Annotated[
        bool, typer.Option("--sandboxes", help="Run vendors' stand-ins beside it, which sources may call.")
    ] = False,
) -> None:
    """Run Headrace: migrate, start every service, and keep it running until Ctrl-C or SIGTERM.

    Without --embedded it works with the servers that the HEADRACE_… settings name (docs/operations.md), one process
    for each service, started again when it dies.
    """
    if more_scale and not scale:
        raise typer.BadParameter(f"unexpected: {' '.join(more_scale)}")
    replicas = parse_scale([*(scale or ()), *(more_scale or ())])
    options = UpOptions(data_dir, replicas, embedded, port, dev_user, sandboxes)
    settings = process_settings()
    environ = _environment(options, settings.log_format)
    with DataDir(data_dir) as data:
        if embedded:
            code = live(_Embedded(options, data, environ), settings, grace=EMBEDDED_GRACE)
        else:
            # Metrics and health are the children's: one port each.
            quiet = settings.model_copy(update={"metrics_port": 0})
            code = live(_Processes(options, data, environ), quiet, grace=SUPERVISOR_GRACE)
    raise typer.Exit(code)


def _environment(options: UpOptions, log_format: str) -> dict[str, str]:
    environ = {**environment(), "HEADRACE_LOG_FORMAT": log_format}
    if options.port is not None:
        environ["HEADRACE_GATEWAY_PORT"] = str(options.port)
    return environ


class _Embedded:
    """A composition root (Start)."""

    def __init__(self, options: UpOptions, data: DataDir, environ: Mapping[str, str]) -> None:
        self._options = options
        self._data = data
        self._environ = environ

    @asynccontextmanager
    async def __call__(self, process: Process) -> AsyncIterator[Sequence[Service]]:
        async with AsyncExitStack() as stack:
            environ = await _with_sandboxes(stack, self._options, self._data, self._environ)
            running = await stack.enter_async_context(
                embedded_stack(process, self._data, environ, scale=self._options.scale)
            )
            mine = [os.getpid()]
            pids = {name: mine if count else [] for name, count in self._options.scale.items()}

            async def announce() -> None:
                self._data.write_endpoints(running.endpoints, pids)
                await _say_ready(self._data, running.endpoints, environ)

            yield [*running.services, Herald(running.services, announce)]


class _Processes:
    """A composition root (Start)."""

    def __init__(self, options: UpOptions, data: DataDir, environ: Mapping[str, str]) -> None:
        self._options = options
        self._data = data
        self._environ = environ

    @asynccontextmanager
    async def __call__(self, process: Process) -> AsyncIterator[Sequence[Service]]:
        async with AsyncExitStack() as stack:
            environ = await _with_sandboxes(stack, self._options, self._data, self._environ)
            deployment = await prepare(
                process, self._data, environ, scale=self._options.scale, dev_user=self._options.dev_user
            )
            supervisor = deployment.supervisor

            def write() -> None:
                self._data.write_endpoints(deployment.endpoints, supervisor.pids())

            async def announce() -> None:
                write()
                supervisor.on_change = write
                await _say_ready(self._data, deployment.endpoints, environ)

            yield [supervisor, Herald(supervisor.replicas, announce)]


async def _with_sandboxes(
    stack: AsyncExitStack, options: UpOptions, data: DataDir, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """The environment in which the sandboxes, if they are wanted, may be called."""
    if not options.sandboxes:
        return environ
    places = await stack.enter_async_context(serving_sandboxes(data.path))
    for sandbox in places:
        print(f"Sandbox for {sandbox.source.source_type}: {sandbox.url}", flush=True)
    allowed = [environ.get("HEADRACE_EGRESS_ALLOW", ""), *(sandbox.authority for sandbox in places)]
    return {**environ, "HEADRACE_EGRESS_ALLOW": ",".join(filter(None, allowed))}


async def _say_ready(data: DataDir, endpoints: Endpoints, environ: Mapping[str, str]) -> None:
    lines = ["Headrace is ready.", ""]
    if endpoints.gateway_url:
        lines += [f"  address        {endpoints.gateway_url}", f"  documentation  {endpoints.gateway_url}/docs"]
        if endpoints.token:
            lines.append(f"  sign in        {await _link(data, endpoints, environ)}")
    where = data.path / ENDPOINTS
    lines.append(f"  {'bearer token   ' if endpoints.token else 'endpoints      '}{where}")
    print("\n".join([*lines, "", "Ctrl-C stops it."]), flush=True)


async def _link(data: DataDir, endpoints: Endpoints, environ: Mapping[str, str]) -> str:
    schema = load(PlatformSettings, environ).schema_name
    # Behind https the session's cookie is for https alone: the link must lead there.
    address = environ.get("HEADRACE_PUBLIC_URL", "").rstrip("/") or endpoints.gateway_url
    try:
        link = await sign_in_link(address, endpoints.database_url, schema, data.local_user())
    except PlatformAwayError as error:
        return f"no link now: {error.message}"
    return f"{link} (once, within ten minutes)"
