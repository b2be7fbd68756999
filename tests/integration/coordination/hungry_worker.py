"""One process of callers that always want more than the budget has. Started by strict_server.py."""

import asyncio
import faulthandler
import sys
import time

import aiohttp

from shared.clock import SystemClock
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.ports import Budget, Window
from shared.coordination.redis import RedisServer

STUCK_AFTER = 15.0
"""Seconds after its end at which a process that still runs says where it stands, and fails."""


def fail_when_stuck(seconds: float) -> None:
    """Within `seconds` it should have ended: else each task says where it stands, and after them the thread."""
    asyncio.get_running_loop().call_later(seconds, lambda: [task.print_stack() for task in asyncio.all_tasks()])
    faulthandler.dump_traceback_later(seconds + 5, exit=True)


async def never_called(_scope: str) -> list[tuple[float, int]]:
    return []


async def main(arguments: list[str]) -> None:
    redis_url, prefix, url, limit, seconds, start, duration, tasks, who = arguments
    begin, end = float(start), float(start) + float(duration)
    fail_when_stuck(end + STUCK_AFTER - time.monotonic())
    budget = Budget("account", (Window(int(limit), float(seconds)),))
    async with RedisServer.at(redis_url) as server, aiohttp.ClientSession() as session:
        gate = SlotGate(RedisRateLimiter(server, history=never_called, prefix=prefix), SystemClock())
        await asyncio.sleep(max(0.0, begin - time.monotonic()))

        async def caller() -> None:
            while True:
                async with (
                    gate.step(budget, max_wait=600.0) as grant,
                    grant.call(),
                    session.get(url, params={"who": who}) as answer,
                ):
                    await answer.read()

        callers = [asyncio.create_task(caller()) for _ in range(int(tasks))]
        done, _ = await asyncio.wait(callers, timeout=end - time.monotonic(), return_when=asyncio.FIRST_EXCEPTION)
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
