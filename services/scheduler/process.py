"""The scheduler as a process of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.scheduler.app import ROLE, build
from services.scheduler.settings import SchedulerSettings
from shared.config import load
from shared.coordination.redis import RedisServer
from shared.runtime.main import Process, run
from shared.runtime.resources import PlatformSettings, open_resources
from shared.runtime.service import Service


@asynccontextmanager
async def start(process: Process) -> AsyncIterator[Sequence[Service]]:
    """Settings from the environment, servers, service."""
    settings = load(SchedulerSettings)
    async with open_resources(load(PlatformSettings), process, role=ROLE, redis=RedisServer.at) as resources:
        yield [build(settings, resources)]


def main() -> int:
    """Run until told to stop; the exit code."""
    return run(start, name="scheduler")
