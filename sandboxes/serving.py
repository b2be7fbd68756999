"""Running a sandbox: inside a test or the demo, or as a process of its own."""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import Behaviour


@asynccontextmanager
async def running(app: web.Application, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the application while the block runs; yields its base URL, without a slash at the end."""
    # handlers that sleep in a fault end with their caller, and never hold up the end of a test
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=512).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def serve(app: web.Application, options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM; says the URL on standard output, the port in the file asked for."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(app, host=options.host, port=options.port) as url:
        if options.port_file is not None:
            await asyncio.to_thread(_write_whole, options.port_file, url.rpartition(":")[2])
        sys.stdout.write(f"listening on {url}\n")
        sys.stdout.flush()
        await stop.wait()


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)  # whoever waits for the file never reads half a number


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every sandbox has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0, help="0 takes any free port")
    options.add_argument("--port-file", type=Path, help="write the chosen port here")
    options.add_argument("--products", type=int, help="serve a generated shop of so many products, not the real one")
    options.add_argument("--seed", type=int, default=1, help="of the generated shop")
    options.add_argument("--limit", type=_limit, action="append", default=[], help="COUNT/SECONDS; may be repeated")
    options.add_argument("--bearer", help="ask for this token")
    return options


def behaviour_of(options: argparse.Namespace) -> Behaviour:
    """The behaviour that the options ask for."""
    auth = Auth("bearer", {options.bearer: "account"}) if options.bearer else Auth()
    return Behaviour(auth, Limits(tuple(options.limit)))


def _limit(text: str) -> tuple[int, float]:
    count, _, seconds = text.partition("/")
    return int(count), float(seconds)
