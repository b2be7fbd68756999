"""Our limiter beside pyrate-limiter, in one run, against a server that counts arrivals for itself.

    python -m venv .peer && .peer/bin/pip install pyrate-limiter==4.5.1 redis aiohttp
    python bench/rate/limiters.py --redis-url redis://127.0.0.1:6379/0 --peer-python .peer/bin/python

The Redis must have nothing else to do (its command counters are read). Keys are removed afterwards. The window is
120 per 6 s in place of 120 per 60 s; callers are always hungry. A violation is an arrival that makes more than the
limit in the window before it; utilisation is arrivals / (limit x duration / window).
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web
from redis.asyncio import Redis

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
START_AFTER = 0.2
"""Seconds from when the last caller is ready: enough for each to read the line that says when."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--peer-python", help="interpreter that has pyrate-limiter; without it only ours runs")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--limit", type=int, default=120)
    parser.add_argument("--window", type=float, default=6.0)
    parser.add_argument("--duration", type=float, default=36.0)
    return parser.parse_args()


def judge(times: list[float], limit: int, window: float) -> dict[str, Any]:
    """Violations and the worst window as the server saw them."""
    times = sorted(times)
    first = worst = over = 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        worst, over = max(worst, last - first + 1), over + (last - first + 1 > limit)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    return {"arrivals": len(times), "violations": over, "worst": worst, "longest_pause_s": max(gaps, default=0.0)}


async def scripts_run(redis: Redis) -> int:
    stats: dict[str, Any] = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


async def measure(name: str, python: str, redis: Redis, options: argparse.Namespace) -> dict[str, Any]:
    times: list[float] = []
    by_process: Counter[str] = Counter()

    async def hit(request: web.Request) -> web.Response:
        times.append(time.monotonic())
        by_process[request.query["who"]] += 1
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/hit", hit)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    prefix = f"bench:{uuid.uuid4().hex}:"
    job = {
        "redis_url": options.redis_url,
        "prefix": prefix,
        "url": f"http://127.0.0.1:{runner.addresses[0][1]}/hit",
        "limit": options.limit,
        "window": options.window,
        "duration": options.duration,
        "tasks": options.tasks,
    }
    before = await scripts_run(redis)
    callers = [
        await asyncio.create_subprocess_exec(
            python,
            str(HERE / f"caller_{name}.py"),
            json.dumps({**job, "who": str(number)}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        for number in range(options.processes)
    ]
    await asyncio.gather(*(caller.stdout.readline() for caller in callers if caller.stdout))
    start = f"{time.time() + START_AFTER}\n".encode()
    outputs = await asyncio.gather(*(caller.communicate(start) for caller in callers))
    if any(caller.returncode for caller in callers):
        raise SystemExit(f"{name}: a caller failed")
    scripts = await scripts_run(redis) - before
    await runner.cleanup()
    async for key in redis.scan_iter(match=f"{prefix}*"):
        await redis.delete(key)
    waits = sorted(wait for out, _ in outputs for wait in json.loads(out))
    result = judge(times, options.limit, options.window)
    return {
        "limiter": name,
        **result,
        "utilisation": len(times) / (options.limit * options.duration / options.window),
        "scripts_per_call": scripts / max(1, len(times)),
        "wait_p50_ms": waits[len(waits) // 2] * 1000,
        "wait_p99_ms": waits[int(len(waits) * 0.99)] * 1000,
        "wait_max_ms": waits[-1] * 1000,
        "fewest_by_a_process": min(by_process.values()),
        "most_by_a_process": max(by_process.values()),
    }


async def main(options: argparse.Namespace) -> None:
    runs = [("ours", sys.executable)]
    if options.peer_python:
        runs.append(("pyrate", options.peer_python))
    else:
        print(__doc__)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in runs}
    async with Redis.from_url(options.redis_url) as redis:
        for _ in range(options.rounds):
            for name, python in runs:
                result = await measure(name, python, redis, options)
                results[name].append(result)
                print({key: round(value, 3) if isinstance(value, float) else value for key, value in result.items()})
    if options.peer_python:
        print(f"\n{'ours / pyrate-limiter (mean of the rounds)':45}{'ours':>10}{'peer':>10}{'ratio':>8}")
        for key in results["ours"][0]:
            if key != "limiter":
                ours, peer = (sum(r[key] for r in results[name]) / options.rounds for name, _ in runs)
                ratio = f"{ours / peer:8.2f}" if peer else f"{'-':>8}"
                print(f"{key:45}{ours:10.3f}{peer:10.3f}{ratio}")


if __name__ == "__main__":
    asyncio.run(main(arguments()))
