"""What one process of always hungry callers does, whatever the limiter.

Says `ready`, is told by a line when all start (Unix seconds), and prints its waits as JSON.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

Turn = Callable[[], AbstractAsyncContextManager[None]]
Make = Callable[[dict[str, Any]], AbstractAsyncContextManager[Turn]]


async def _main(make: Make, job: dict[str, Any]) -> None:
    waits: list[float] = []
    async with make(job) as turn, aiohttp.ClientSession() as session:

        async def caller() -> None:
            while True:
                asked = time.perf_counter()
                async with turn():
                    waits.append(time.perf_counter() - asked)
                    async with session.get(job["url"], params={"who": job["who"]}) as answer:
                        await answer.read()

        print("ready", flush=True)
        start = float(await asyncio.to_thread(sys.stdin.readline))
        await asyncio.sleep(max(0.0, start - time.time()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(start + job["duration"] - time.time()):
                await asyncio.gather(*(caller() for _ in range(job["tasks"])))
    print(json.dumps(waits), flush=True)


def run(make: Make) -> None:
    """Take the job from the command line."""
    asyncio.run(_main(make, json.loads(sys.argv[1])))
