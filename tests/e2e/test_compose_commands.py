"""Every container's command with exactly the environment that docker-compose.yml gives it, on real servers."""

import asyncio
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline import eventually
from services.cli.scaling import SERVICE_NAMES
from services.cli.stack.process import free_port
from shared.sealing.keyring import KeyRing, generate_key

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
IMAGE = dict(re.findall(r"(HEADRACE_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
"""What the image sets."""


def environment(service: str, dotenv: dict[str, str], here: dict[str, str]) -> dict[str, str]:
    """The container's: its own block filled from `.env`, over the image's; `here` moves what it has to this machine."""
    given = {
        name: _VARIABLE.sub(lambda match: dotenv.get(match[1], match[3] if match[2] == "-" else ""), str(text))
        for name, text in {**IMAGE, **SERVICES[service]["environment"]}.items()
    }
    moved = {name: text for name, text in here.items() if name in given}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given, **moved}


@asynccontextmanager
async def container(service: str, environ: dict[str, str], place: Path) -> AsyncIterator["Container"]:
    """Its process, ended with the block."""
    log = place / f"{service}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *SERVICES[service]["command"], env=environ, cwd=place, stdout=output, stderr=output
        )
    try:
        yield Container(process, environ["HEADRACE_METRICS_PORT"], log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True)
class Container:
    process: asyncio.subprocess.Process
    port: str
    log: Path

    async def ended(self) -> tuple[int, str]:
        """Its exit code and all it said."""
        async with asyncio.timeout(60):
            return await self.process.wait(), self.log.read_text()


def asks(port: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=4) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def test_the_migration_ends_and_every_service_gets_ready_and_stops(
    tmp_path: Path, empty_database_url: str, amqp_url: str, redis_url: str, bus_prefix: str, redis_prefix: str
) -> None:
    keys = generate_key("compose")
    dotenv = {
        "HEADRACE_MASTER_KEYS": keys,
        "HEADRACE_SEAL_KEYS": KeyRing.parse(keys).public().to_text(),
        "HEADRACE_WEBHOOK_KEYS": generate_key("webhooks"),
        "HEADRACE_JWT_SECRET": os.urandom(24).hex(),
        "HEADRACE_AMQP_PREFIX": bus_prefix,
        "HEADRACE_REDIS_PREFIX": redis_prefix,
    }
    here = {
        "HEADRACE_DATABASE_URL": empty_database_url,
        "HEADRACE_AMQP_URL": amqp_url,
        "HEADRACE_REDIS_URL": redis_url,
        "HEADRACE_SPOOL_DIR": str(tmp_path),
        "HEADRACE_METRICS_HOST": "127.0.0.1",
        "HEADRACE_GATEWAY_HOST": "127.0.0.1",
    }
    for expected in ("applied 0001_roles.sql", "already"):
        async with container("migrate", environment("migrate", dotenv, here), tmp_path) as migration:
            code, output = await migration.ended()
        assert (code, expected in output) == (0, True), output

    async with AsyncExitStack() as stack:
        running: dict[str, Container] = {}
        for service in SERVICE_NAMES:
            environ = environment(service, dotenv, {**here, "HEADRACE_METRICS_PORT": str(free_port())})
            if service == "gateway":
                environ["HEADRACE_GATEWAY_PORT"] = "0"
            running[service] = await stack.enter_async_context(container(service, environ, tmp_path))

        async def not_ready() -> dict[str, str]:
            answers = {name: await asyncio.to_thread(asks, each.port, "/readyz") for name, each in running.items()}
            waiting = {name: running[name].log.read_text() for name, status in answers.items() if status != 200}
            assert all(each.process.returncode is None for each in running.values()), waiting
            return waiting

        await eventually(not_ready, lambda waiting: not waiting, within=60)
        for name, each in running.items():
            assert await asyncio.to_thread(asks, each.port, "/metrics") == 200, name
            each.process.terminate()
        for name, each in running.items():
            code, output = await each.ended()
            assert code == 0, f"{name}: {output}"
