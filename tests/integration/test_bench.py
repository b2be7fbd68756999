"""The bench still runs: each of its programs on a tiny case, but for those of peers, which are not installed here.

`headrace up` as processes is left out, since tests/e2e starts it so; that the gateway takes the bench's source is not.
"""

import ast
import asyncio
import importlib
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from gateway_harness import running_gateway

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"


async def told_by(script: str, *options: str, **environment: str) -> str:
    """What a program of the bench prints until it ends well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(BENCH / script), *options, stdout=PIPE, stderr=STDOUT, env={**os.environ, **environment}
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_a_contender_is_run_measured_and_checked(
    tmp_path: Path, postgres_url: str, amqp_url: str, redis_url: str
) -> None:
    out = tmp_path / "results" / "results.jsonl"
    servers = {
        "HEADRACE_BENCH_DATABASE_URL": postgres_url,
        "HEADRACE_BENCH_AMQP_URL": amqp_url,
        "HEADRACE_BENCH_REDIS_URL": redis_url,
    }

    said = await told_by(
        "run.py", "--rows", "100", "--page", "50", "--rounds", "1", "--only", "floor", "--out", str(out), **servers
    )

    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["who"], one["phase"], one["right"]) for one in results] == [
        ("floor", phase, True) for phase in ("initial", "unchanged", "changed")
    ], said
    assert str(out) in said


async def test_the_limiters_callers_are_counted(redis_url: str) -> None:
    said = await told_by(
        "rate/limiters.py", "--redis-url", redis_url, "--rounds", "1", "--processes", "1", "--tasks", "2",
        "--limit", "10", "--window", "0.5", "--duration", "2",
    )  # fmt: skip

    result = ast.literal_eval(next(line for line in said.splitlines() if line.startswith("{")))
    assert result["limiter"] == "ours"
    assert result["arrivals"] > 0


async def test_the_gateway_takes_the_source_that_ours_is_measured_with(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    contenders = importlib.import_module("contenders")
    servers = contenders.Servers(database_url, "", "")
    job = contenders.Job(servers, database_url, "http://127.0.0.1:9", rows=1, page=1, directory=tmp_path)

    async with running_gateway(database_url, egress_allow="127.0.0.1:9") as gateway:
        answer = await gateway.user().post("/api/sources", contenders.Headrace().source(job))

    assert answer.status == 201, answer.text
