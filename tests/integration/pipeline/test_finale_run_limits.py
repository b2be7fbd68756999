"""Finale's limits as the vendor counts them: none overrun, little wasted while work waits. And bounded memory."""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from finale_reports import report_url
from finale_scaled import scaled_pipeline
from finale_truth import TRUTHS, assert_equal, stored

from pipeline import Pipeline
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.rates import RATES, RateClass
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.connector_sdk.spec import RateLimit
from shared.connectors.finale.source import CONNECTOR

CREDENTIALS = {"api_key": "key", "api_secret": "secret"}


async def test_more_orders_than_the_minute_has_calls_wait_parked_and_none_is_read_twice(pipeline: Pipeline) -> None:
    """130 orders and 120 GETs a minute: the run waits for the rest, and goes on where it was."""
    size = Size(products=30, vendors=6, customers=2, purchase_orders=130, sales_orders=4)
    state = FinaleState(filling(size))
    async with running(build_app(state)) as url:
        source = await pipeline.add_source(
            {"account": "acme", "base_url": url, "time_zone": "America/New_York"},
            CREDENTIALS,
            source_type="finale_inventory",
        )

        view = await pipeline.sync(source, entities=("purchase_orders",), within=100)

        assert view.status == "succeeded", view
        singles = [one.path for one in state.arrivals if not one.path.endswith("/")]
        assert len(singles) == len(set(singles)) == 130
        assert view.api_calls == len(state.arrivals) == 133
        assert {one.status for one in state.arrivals} == {200}
        assert state.worst_window("get", 60.0) <= 120
        assert_equal(
            "purchase_orders", await stored(pipeline, "purchase_orders", source), TRUTHS["purchase_orders"](state)
        )


@dataclass(frozen=True)
class _Load:
    """Sources of one account that sync again and again."""

    sources: int
    seconds: float
    entities: tuple[str, ...]


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_an_hours_collection_reads_are_used_and_never_overrun(
    database_url: str, redis_url: str, redis_prefix: str
) -> None:
    """300 an hour as 300 a minute, for three of them: no 429, and 95 of 100 used while work waits."""
    hour = 60.0
    state = FinaleState(
        filling(Size(products=5, vendors=2, customers=1, carriers=1, purchase_orders=3, sales_orders=1)),
        switches=Switches(window_scale=hour / RATES["collection"][1], order_lines_in_collection=True),
    )
    limits = {
        "get": RateLimit(per_second=100),
        "post": RateLimit(per_second=100),
        "collection": RateLimit(per_minute=300),
    }
    used = await _saturate(
        database_url, redis_url, redis_prefix, state, limits, "collection", hour, _Load(10, 190, tuple(TRUTHS))
    )
    print(f"\ncollection reads an hour (of 60 s) in the steady state: {used}")
    assert sum(used) >= 0.95 * 300 * len(used)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_a_minutes_calls_are_used_and_never_overrun(database_url: str, redis_url: str, redis_prefix: str) -> None:
    """The real minute: a first read of 600 orders."""
    state = FinaleState(filling(Size(products=50, vendors=6, customers=2, purchase_orders=600, sales_orders=4)))
    limits = dict(CONNECTOR.spec.rate_limits)
    load = _Load(1, 330, ("purchase_orders",))
    used = await _saturate(database_url, redis_url, redis_prefix, state, limits, "get", 60.0, load)
    print(f"\nGET requests a minute in the steady state: {used}")
    assert sum(used[:4]) >= 0.95 * 120 * 4


async def _saturate(
    database_url: str,
    redis_url: str,
    redis_prefix: str,
    state: FinaleState,
    limits: dict[str, RateLimit],
    rate_class: RateClass,
    window: float,
    load: _Load,
) -> list[int]:
    """Requests of the class in each whole window after the first; none was refused, and no window held too many."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running(build_app(state)))
        pipeline = await stack.enter_async_context(
            scaled_pipeline(database_url, redis_url, redis_prefix, CONNECTOR, limits)
        )
        config = {"account": "acme", "base_url": url}
        end = time.monotonic() + load.seconds

        async def keep_busy() -> None:
            source = await pipeline.add_source(config, CREDENTIALS, source_type="finale_inventory")
            while time.monotonic() < end:
                view = await pipeline.sync(source, within=load.seconds + 120, mode="full", entities=load.entities)
                assert view.status == "succeeded", view

        working = [asyncio.create_task(keep_busy()) for _ in range(load.sources)]
        await asyncio.wait(working, timeout=load.seconds)
        arrivals = list(state.arrivals)
        for task in working:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.wait(working)
    assert {one.status for one in arrivals if one.status} == {200}
    assert state.worst_window(rate_class, window) <= RATES[rate_class][0]
    wanted = [
        one.time for one in arrivals if rate_class == "get" or one.path.partition("?")[0].rstrip("/").count("/") == 3
    ]
    first = wanted[0]
    whole = int((wanted[-1] - first) // window)
    return [
        sum(first + number * window <= at < first + (number + 1) * window for at in wanted)
        for number in range(1, whole)
    ]


_READER = """
import asyncio, contextlib, json, re, sys
PEAK = re.compile(r"VmHWM:\\s+(\\d+) kB")  # of this program: rusage remembers whoever started it
from shared.clock import SystemClock
from shared.connector_sdk.credentials import apply
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import ReadRequest
from shared.connectors.finale.source import CONNECTOR
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy
import services.fetcher.app
from services.fetcher.alive import Life
from services.fetcher.spooling import spooled
from shared.connector_sdk.spool import SpoolSpace

class Budget:
    async def spend(self, *limit_classes): pass
    async def blocked(self, limit_class, retry_after): raise AssertionError
    @contextlib.asynccontextmanager
    async def concurrency(self, limit_class): yield

async def main(url, reports):
    secrets = apply(CONNECTOR.spec.credentials.validate_python({"api_key": "key", "api_secret": "secret"}))
    async with HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock()) as http:
        config = {"account": "acme", "base_url": url, "report_urls": reports}
        source = CONNECTOR.open(config, MeteredClient(http, secrets, Budget()))
        async with spooled(source.read_all(ReadRequest("inventory", None)), Life(), space=SpoolSpace()) as spool:
            for number in range(spool.page.batches):
                await spool.batch(number)
            print(spool.page.records, int(PEAK.search(open("/proc/self/status").read())[1]) // 1024)

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("size", "form", "megabytes"),
    [
        (Size(products=300, stock_rows=5_000, purchase_orders=5, sales_orders=1, vendors=5), None, 150),
        (Size(products=3_000, purchase_orders=5, sales_orders=1, vendors=5), "csv", 150),
        pytest.param(
            Size(products=500, stock_rows=119_900, purchase_orders=0, sales_orders=0), None, 200, marks=pytest.mark.soak
        ),
        pytest.param(
            Size(products=119_999, stock_rows=119_900, purchase_orders=0, sales_orders=0),
            None,
            200,
            marks=pytest.mark.soak,
        ),
        *(
            pytest.param(
                Size(products=119_999, stock_rows=119_900, purchase_orders=0, sales_orders=0),
                form,
                250,
                marks=pytest.mark.soak,
            )
            for form in ("csv", "jsonObject")
        ),
    ],
    ids=[
        *("5,000 rows", "3,000 products by report", "120,000 rows of stock", "120,000 products with stock"),
        *("120,000 products by CSV", "120,000 products by objects"),
    ],
)
@pytest.mark.timeout(900)
async def test_the_fetchers_memory_does_not_grow_with_the_collection(
    size: Size, form: str | None, megabytes: int
) -> None:
    """What a step of the fetcher does, in a process of its own with everything that the fetcher imports."""
    state = await asyncio.to_thread(lambda: FinaleState(filling(size)))
    async with running(build_app(state)) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _READER,
            url,
            json.dumps({} if form is None else {"inventory": report_url(url, "product", form)}),
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
        )
        async with asyncio.timeout(600):
            said, _ = await process.communicate()
    assert process.returncode == 0
    records, peak = map(int, said.split())
    print(f"\n{records:,} products, {len(state.stock()):,} rows of stock: {peak} MB at the peak")
    assert records == size.products
    assert peak < megabytes
