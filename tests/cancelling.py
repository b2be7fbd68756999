"""Ending a piece of work at each of its moments: it must end, whatever it was doing."""

import asyncio
from collections.abc import Awaitable, Callable

MOST_STEPS = 5_000
"""Turns of the event loop after which a piece of work on this machine has certainly ended by itself."""


async def swallowed_ends(work: Callable[[], Awaitable[object]], *, after: float = 10.0) -> list[int]:
    """Do `work` again and again, each time cancelled a turn of the event loop later, or some when there are many.

    It ends when the work does so first: the turns after which it went on as though nobody had cancelled it.
    TimeoutError when it did not end in `after` seconds.
    """

    async def call() -> None:
        await work()

    swallowed = []
    async with asyncio.timeout(60):
        steps = 0
        while steps < MOST_STEPS:
            task = asyncio.create_task(call())
            for _ in range(steps):
                await asyncio.sleep(0)
            if not task.cancel():
                await task
                return swallowed
            async with asyncio.timeout(after):
                await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen
                swallowed.append(steps)
            steps += max(1, steps // 25)  # a busy server is waited for, turn after turn: these moments are all alike
    raise AssertionError("the work never ended by itself")
