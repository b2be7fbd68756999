"""A process for test_runtime_process.py: `python runtime_process.py SCENARIO`. Says on stdout how far it came."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shared.errors import StartupError
from shared.runtime.main import Process, run
from shared.runtime.service import Service

SCENARIO = sys.argv[1]
CANARY = "Tr0ub4dor-Kingfisher"


def say(text: str) -> None:
    print(text, flush=True)


class Worker:
    name = "worker"

    async def run(self, stop: asyncio.Event) -> None:
        say("running")
        if SCENARIO == "crash":
            raise OSError(f"lost {CANARY}")
        await stop.wait()
        say("draining")
        if SCENARIO == "stuck":
            await asyncio.Event().wait()
        if SCENARIO == "blocked":
            time.sleep(60)  # noqa: ASYNC251 - blocking the event loop is the scenario
        say("drained")

    async def ready(self) -> bool:
        return True


@asynccontextmanager
async def start(process: Process) -> AsyncIterator[Sequence[Service]]:
    process.secrets.add(CANARY)
    async with asyncio.timeout(60), asyncio.TaskGroup():  # must be left by the task that entered them
        try:
            say("opening")
            if SCENARIO == "opening":
                await asyncio.Event().wait()
            if SCENARIO == "bad-setting":
                raise StartupError(f"HEADRACE_REDIS_URL: no server at redis://u:{CANARY}@h", hint="Start it.")
            yield [Worker()]
            if SCENARIO == "hanging-thread":
                await asyncio.shield(asyncio.to_thread(time.sleep, 60))
        finally:
            say("closed")


sys.exit(run(start, grace=0.3))
