"""`make bench`: ours beside dlt and beside the least that the same work costs by hand, interleaved and checked.

    make bench ARGS="--rows 20000 --rounds 1"
    make bench ARGS="rate"                       the rate limiter beside pyrate-limiter (bench/rate)

What is measured and what a ratio means: bench/README.md.
"""

import argparse
import asyncio
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from contenders import Contender, Headrace, Job, Program
from isolated import python_of
from machines import Servers, private_servers
from measuring import Meter
from records import digest, is_changed
from table import PHASES, show

HERE = Path(__file__).parent
SETTLE_SECONDS = 0.5
"""Between two phases, after a vacuum, so that what one leaves to do is not counted in the next."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--page", type=int, default=1_000, help="records a page, at most 1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long the source thinks about a page")
    parser.add_argument("--only", default="headrace,dlt-merge,floor", help="names, comma-separated")
    parser.add_argument("--out", type=Path, help="the file of results (JSON lines); default bench/results/TIME.jsonl")
    return parser.parse_args()


@asynccontextmanager
async def source_api(rows: int, latency_ms: float) -> AsyncIterator[str]:
    command = (str(HERE / "source_api.py"), "--rows", str(rows), "--latency-ms", str(latency_ms))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def own_database(admin_url: str) -> AsyncIterator[str]:
    """A database that one contender has to itself; gone afterwards, so that nobody's vacuum works beside another."""
    name = f"headrace_bench_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(admin_url)
    try:
        await admin.execute(f'create database "{name}" template template0')
        try:
            yield urlsplit(admin_url)._replace(path=f"/{name}").geturl()
        finally:
            await admin.execute(f'drop database "{name}" with (force)')
    finally:
        await admin.close()


async def vacuum(database: str) -> None:
    """What autovacuum would do for the phase before, at some moment of the next."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def is_right(database: str, target: str, rows: int, wanted: str) -> bool:
    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetchrow((HERE / "check.sql").read_text().replace(":target", target))
        return found is not None and (found["rows"], found["digest"]) == (rows, wanted)
    finally:
        await connection.close()


def counts_right(told: dict[str, int], phase: str, rows: int) -> bool:
    """Whether what a contender says of itself is so; not every one says something."""
    changed = sum(map(is_changed, range(rows)))
    wanted = {
        "initial": {"inserted": rows, "updated": 0, "unchanged": 0},
        "unchanged": {"inserted": 0, "updated": 0, "unchanged": rows},
        "changed": {"inserted": 0, "updated": changed, "unchanged": rows - changed},
    }
    return not told or wanted[phase].items() <= told.items()


async def one_contender(contender: Contender, meter: Meter, job: Job, digests: dict[int, str]) -> list[dict[str, Any]]:
    results = []
    async with aiohttp.ClientSession(job.source) as source, contender.ready(job) as ready:
        for phase in PHASES:
            generation = 2 if phase == "changed" else 1
            async with source.put(f"/generation/{generation}") as answer:
                answer.raise_for_status()
            await vacuum(job.database)
            await asyncio.sleep(SETTLE_SECONDS)
            async with meter.measured(ready.root) as cost:
                synced = await ready.sync()
            right = await is_right(job.database, contender.target, job.rows, digests[generation])
            right = right and counts_right(synced.told, phase, job.rows)
            result = {"who": contender.name, "phase": phase, "own_s": synced.own_s, "right": right, **asdict(cost)}
            results.append(result)
            print(
                f"  {contender.name:10} {phase:10} {cost.wall_s:7.2f} s  {cost.wal_mb:8.3f} MB WAL"
                f"  {'right' if right else 'WRONG'}",
                flush=True,
            )
    return results


async def compare(options: argparse.Namespace, servers: Servers, contenders: Sequence[Contender]) -> bool:
    out = options.out or HERE / "results" / time.strftime("%Y%m%d-%H%M%S.jsonl")
    out.parent.mkdir(exist_ok=True)
    digests = {generation: digest(options.rows, generation) for generation in (1, 2)}
    meter = Meter(servers.database, {"postgres": servers.database, "rabbitmq": servers.amqp, "redis": servers.redis})
    results: list[dict[str, Any]] = []
    async with source_api(options.rows, options.latency_ms) as source:
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            turn = number % len(contenders)  # nobody is always first
            for contender in [*contenders[turn:], *contenders[:turn]]:
                directory = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
                try:
                    async with own_database(servers.database) as database:
                        job = Job(servers, database, source, options.rows, options.page, directory)
                        found = await one_contender(contender, meter, job, digests)
                finally:
                    shutil.rmtree(directory)
                found = [{"round": number, "rows": options.rows, "page": options.page, **one} for one in found]
                results += found
                with out.open("a") as file:
                    file.writelines(json.dumps(one) + "\n" for one in found)
    show(results, [contender.name for contender in contenders], Headrace.name)
    for contender in contenders:
        if isinstance(contender, Headrace):
            print(
                f"headrace up was ready after {', '.join(f'{one:.1f}' for one in contender.start_s)} s (not counted)."
            )
    print(f"results: {out}")
    return all(one["right"] for one in results)


def rate(options: Sequence[str]) -> int:
    with private_servers() as servers:
        command = [sys.executable, str(HERE / "rate" / "limiters.py"), "--redis-url", servers.redis]
        return subprocess.run([*command, "--peer-python", python_of("pyrate"), *options], check=False).returncode


def main() -> int:
    # Told to end, leave nothing running: servers have sessions of their own and would outlive us.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if sys.argv[1:2] == ["rate"]:
        return rate(sys.argv[2:])
    options = arguments()
    made: dict[str, Callable[[], Contender]] = {
        "headrace": Headrace,
        "dlt-merge": lambda: Program("dlt-merge", python_of("dlt"), "dlt.items"),
        "floor": lambda: Program("floor", Path(sys.executable), "floor.items"),
    }
    contenders = [made[name]() for name in options.only.split(",")]
    with private_servers() as servers:
        return 0 if asyncio.run(compare(options, servers, contenders)) else 1


if __name__ == "__main__":
    sys.exit(main())
