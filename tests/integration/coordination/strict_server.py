"""A vendor that counts arrivals by its own clock, and hungry callers in processes of their own."""

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web


@dataclass(frozen=True)
class Count:
    """What the vendor saw."""

    arrivals: int
    worst_window: int
    violations: int
    """Arrivals that made more than the limit in the window before them."""
    utilisation: float
    """Arrivals beside limit x (duration / window)."""
    longest_gap: float
    per_process: list[int]


class StrictServer:
    """Refuses nothing, remembers every arrival."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.by_process: dict[str, int] = {}

    async def hit(self, request: web.Request) -> web.Response:
        self.arrivals.append(time.monotonic())
        who = request.query["who"]
        self.by_process[who] = self.by_process.get(who, 0) + 1
        return web.Response(text="ok")

    def count(self, limit: int, seconds: float, duration: float) -> Count:
        times = sorted(self.arrivals)
        first = worst = over = 0
        for last, at in enumerate(times):
            while times[first] <= at - seconds:
                first += 1
            inside = last - first + 1
            worst, over = max(worst, inside), over + (inside > limit)
        gaps = [b - a for a, b in itertools.pairwise(times)]
        return Count(
            arrivals=len(times),
            worst_window=worst,
            violations=over,
            utilisation=len(times) / (limit * duration / seconds),
            longest_gap=max(gaps, default=0.0),
            per_process=sorted(self.by_process.values()),
        )


async def besiege(
    redis_url: str, prefix: str, *, limit: int, seconds: float, duration: float, processes: int = 4, tasks: int = 8
) -> Count:
    """`processes` x `tasks` callers want more than `limit` per `seconds`, for `duration` seconds."""
    server = StrictServer()
    app = web.Application()
    app.router.add_get("/hit", server.hit)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    # The interpreters' start is not the limiter's. All processes of a machine share the clock that never steps.
    start = time.monotonic() + 2.5
    command: Sequence[str] = [
        sys.executable,
        str(Path(__file__).with_name("hungry_worker.py")),
        redis_url,
        prefix,
        f"http://127.0.0.1:{port}/hit",
        str(limit),
        str(seconds),
        str(start),
        str(duration),
        str(tasks),
    ]
    callers = [await asyncio.create_subprocess_exec(*command, str(number)) for number in range(processes)]
    try:
        async with asyncio.timeout(duration + 30):
            codes = await asyncio.gather(*(caller.wait() for caller in callers))
        assert set(codes) == {0}, codes
    finally:
        for caller in callers:
            if caller.returncode is None:
                caller.kill()
        await runner.cleanup()
    return server.count(limit, seconds, duration)
