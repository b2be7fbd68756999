"""`kill -9` of any service in the middle of a run: it is started again, and the run ends as if nothing had been."""

import os
import random
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from generated_source import differences, products_source, stored, truth
from up_harness import Up, headrace_up, until

from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from services.cli.scaling import SERVICE_NAMES, ServiceName

PRODUCTS, PAGE_SIZE = 300, 10
OUTCOMES = ("inserted", "updated", "unchanged", "filtered", "duplicates", "quarantined")


@pytest.mark.parametrize(
    ("scale", "rounds"),
    [
        # Nobody else can take over: what was unfinished waits for the process that replaces the killed one.
        pytest.param(("fetcher=1",), 5, id="one of each", marks=pytest.mark.timeout(300)),
        pytest.param(
            ("fetcher=2", "transformer=2", "writer=2"),
            20,
            id="two of each",
            marks=[pytest.mark.soak, pytest.mark.timeout(1800)],
        ),
    ],
)
async def test_a_run_outlives_any_service(
    tmp_path: Path, process_settings: dict[str, str], scale: tuple[str, ...], rounds: int
) -> None:
    state = JsonApiState.generated(PRODUCTS)
    state.behaviour.faults.set(FaultRule(kind="delay", path="/page/products", ms=30))
    dice = random.Random(rounds)
    async with (
        running(build_app(state)) as base,
        headrace_up(
            tmp_path / "data", tmp_path / "log", "--scale", *scale, "--dev-user",
            egress_allow=urlsplit(base).netloc, **process_settings,
        ) as up,
    ):  # fmt: skip
        # every service as often as the others, in an order of no meaning
        victims = [service for _ in range(rounds // len(SERVICE_NAMES)) for service in SERVICE_NAMES]
        dice.shuffle(victims)
        for number, service in enumerate(victims):
            await one_round(up, state, base, service, dice, number)


async def one_round(
    up: Up, state: JsonApiState, base: str, service: ServiceName, dice: random.Random, number: int
) -> None:
    source = await up.add_source(products_source(base, page_size=PAGE_SIZE, name=f"round{number}"))
    accepted = await up.start_sync(source)
    moment = dice.randrange(1, PRODUCTS // 2)
    seen = await up.run_when(accepted, lambda run: run.entities["inventory"].inserted >= moment)
    assert seen.status == "running", f"too late to kill {service}: {seen}"
    before = up.pids()[service]
    victim = dice.choice(before)
    started = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    await until(lambda: victim not in up.pids()[service] and len(up.pids()[service]) == len(before), 15, up.log)

    run = await up.finished(accepted)

    print(f"round {number}: {service} killed at {moment} rows, run ended {time.perf_counter() - started:.1f} s later")
    assert run.status == "succeeded", (service, run)
    inventory = run.entities["inventory"]
    assert inventory.read == sum(getattr(inventory, name) for name in OUTCOMES) == PRODUCTS, (service, inventory)
    found = await stored(up.endpoints()["database_url"], source.id)
    assert not differences(found, truth(state)), service
