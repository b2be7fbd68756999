"""Four fetcher processes on one account: a strict vendor counts no call too many, and hardly one too few."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from generated_source import products_source
from up_harness import headrace_up

from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import Behaviour
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running

READERS = 8
"""Sources of one account; a chain asks for one page at a time, so more of them than there may be calls at once."""


@pytest.mark.parametrize(
    ("unit", "limit", "seconds", "pages", "utilisation"),
    [
        # The limiter adds 5% to a second, which is a lot of it, and a busy machine is late by some of that.
        pytest.param("per_second", 20, 1.0, 25, 0.85, id="20 a second"),
        pytest.param(
            "per_minute", 120, 60.0, 70, 0.95, id="120 a minute", marks=[pytest.mark.soak, pytest.mark.timeout(900)]
        ),
    ],
)
async def test_four_fetchers_keep_one_accounts_limit_and_use_it(
    tmp_path: Path,
    process_settings: dict[str, str],
    unit: str,
    limit: int,
    seconds: float,
    pages: int,
    utilisation: float,
) -> None:
    state = JsonApiState.generated(pages, behaviour=Behaviour(limits=Limits(((limit, seconds),))))
    async with (
        running(build_app(state)) as base,
        headrace_up(
            tmp_path / "data", tmp_path / "log", "--scale", "fetcher=4", "--dev-user",
            egress_allow=urlsplit(base).netloc, **process_settings,
        ) as up,
    ):  # fmt: skip
        bodies = [
            products_source(base, page_size=1, name=f"reader{number}", rate_limit={unit: limit})
            for number in range(READERS)
        ]
        sources = [await up.add_source(body) for body in bodies]
        accepted = [await up.start_sync(source) for source in sources]
        calls = READERS * pages
        runs = await asyncio.gather(
            *(up.finished(each, within=30 + 1.2 * calls * seconds / limit) for each in accepted)
        )

    assert {run.status for run in runs} == {"succeeded"}, runs
    assert [arrival for arrival in state.arrivals if arrival.status != 200] == []
    assert state.worst_window(seconds) <= limit
    # While all of them had work: until the first has read its last page.
    last = {arrival.path.partition("reader=")[2].partition("&")[0]: arrival.time for arrival in state.arrivals}
    assert len(last) == READERS
    hungry = [arrival.time for arrival in state.arrivals if arrival.time <= min(last.values())]
    full = (len(hungry) - 1) // limit  # windows that were filled to the last call
    assert full >= 3, "there was too little work to tell"
    used = full * seconds / (hungry[full * limit] - hungry[0])
    print(f"{len(hungry)} calls, {full} full windows of {limit} in {seconds:g} s, {used:.1%} of the budget used")
    assert used >= utilisation
