"""`headrace up` with a process for each replica, on real RabbitMQ, Redis and PostgreSQL."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from up_harness import headrace_up, shop_source, until

from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.sealing.keyring import generate_key

SCALE = {"gateway": 1, "scheduler": 1, "fetcher": 2, "transformer": 2, "writer": 2}
SECRETS = {"HEADRACE_MASTER_KEYS", "HEADRACE_SEAL_KEYS", "HEADRACE_WEBHOOK_KEYS", "HEADRACE_JWT_SECRET"}
HANDED = {
    "gateway": {"HEADRACE_SEAL_KEYS", "HEADRACE_JWT_SECRET"},
    "scheduler": set(),
    "fetcher": {"HEADRACE_MASTER_KEYS"},
    "transformer": set(),
    "writer": set(),
}


async def test_a_killed_writer_is_replaced_while_a_sync_goes_on(
    tmp_path: Path, empty_database_url: str, amqp_url: str, redis_url: str, bus_prefix: str, redis_prefix: str
) -> None:
    state = JsonApiState.northwind()
    state.behaviour.faults.set(FaultRule(kind="delay", path="/page/products", ms=150))
    data_dir, log = tmp_path / "data", tmp_path / "log"
    async with running(build_app(state)) as base:
        async with headrace_up(
            data_dir, log, "--scale", "fetcher=2", "transformer=2", "writer=2", "--dev-user",
            database_url=empty_database_url, amqp_url=amqp_url, redis_url=redis_url,
            amqp_prefix=bus_prefix, redis_prefix=redis_prefix,
            master_keys=generate_key("test"), egress_allow=urlsplit(base).netloc,
        ) as up:  # fmt: skip
            found, before = up.endpoints(), up.pids()
            assert (found["database_url"], found["amqp_url"]) == (empty_database_url, amqp_url)
            assert {service: len(pids) for service, pids in before.items()} == SCALE
            children = {child.pid for child in psutil.Process(up.process.pid).children()}
            assert children == {pid for pids in before.values() for pid in pids}
            for service, pids in before.items():
                names = set(psutil.Process(pids[0]).environ())
                assert names & SECRETS >= HANDED[service]
                assert (
                    not (names & SECRETS) - HANDED[service] - {"HEADRACE_WEBHOOK_KEYS" if service == "gateway" else ""}
                )

            source = await up.add_source(shop_source(base))
            accepted = await up.start_sync(source)
            await up.run_when(accepted, lambda run: run.entities["inventory"].inserted > 0)
            assert (await up.run(accepted)).status == "running", "the writer would be killed after its work"
            victim = before["writer"][0]
            os.kill(victim, signal.SIGKILL)
            await until(lambda: victim not in up.pids()["writer"] and len(up.pids()["writer"]) == 2, 15, log)
            assert {**up.pids(), "writer": []} == {**before, "writer": []}
            run = await up.finished(accepted)

            assert run.status == "succeeded", run
            counters = run.entities["inventory"]
            assert counters.read == counters.inserted == len(state.records("products"))
            everyone = [*children, *up.pids()["writer"]]
            assert await up.stop() == 0
        assert [pid for pid in everyone if psutil.pid_exists(pid)] == []
        assert not (data_dir / "endpoints.json").exists()


@pytest.mark.parametrize("module_waits_on", ["nothing", "its input"])
async def test_a_process_ends_when_whoever_started_it_is_killed(tmp_path: Path, module_waits_on: str) -> None:
    ended = tmp_path / "ended"
    wait = "time.sleep(60)" if module_waits_on == "nothing" else "assert sys.stdin.read() == ''; time.sleep(60)"
    (tmp_path / "tethered_module.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"def end(*_): pathlib.Path({str(ended)!r}).touch(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('running', flush=True)\n" + wait
    )
    starter = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'services.cli.tether', 'tethered_module'], stdin=subprocess.PIPE)\n"
        "time.sleep(60)",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert starter.stdout is not None
    async with asyncio.timeout(20):
        assert await starter.stdout.readline() == b"running\n"
    starter.kill()
    await starter.wait()

    await until(ended.exists, 10)
