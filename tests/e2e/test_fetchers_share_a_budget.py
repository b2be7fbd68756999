"""Four fetcher processes on one account: a strict vendor counts no call too many, and hardly one too few."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from generated_source import products_source
from up_harness import Up, headrace_up

from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import Behaviour
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from services.gateway.models import RunAccepted

READERS = 8
"""Sources of one account; a chain asks for one page at a time, so more of them than there may be calls at once."""
MINUTE = 60.0


@asynccontextmanager
async def hungry_readers(
    directory: Path, settings: dict[str, str], pages: int, limit: int
) -> AsyncIterator[tuple[Up, JsonApiState, list[RunAccepted]]]:
    """All at once, each with `pages` pages and one more that is empty, in `limit` calls a minute for all together."""
    state = JsonApiState.generated(pages, behaviour=Behaviour(limits=Limits(((limit, MINUTE),))))
    async with (
        running(build_app(state)) as base,
        headrace_up(
            directory / "data", directory / "log", "--scale", "fetcher=4", "--dev-user",
            egress_allow=urlsplit(base).netloc, **settings,
        ) as up,
    ):  # fmt: skip
        bodies = [
            products_source(base, page_size=1, name=f"reader{number}", rate_limit={"per_minute": limit})
            for number in range(READERS)
        ]
        sources = [await up.add_source(body) for body in bodies]
        yield up, state, [await up.start_sync(source) for source in sources]


@pytest.mark.timeout(300)
async def test_four_fetchers_use_a_budget_to_the_last_call_and_then_wait(
    tmp_path: Path, process_settings: dict[str, str]
) -> None:
    limit = 24
    async with hungry_readers(tmp_path, process_settings, pages=30, limit=limit) as (up, state, accepted):
        await asyncio.gather(
            *(up.run_when(each, lambda run: run.waiting_on == "rate_limit", every=0.5) for each in accepted)
        )

        assert [arrival for arrival in state.arrivals if arrival.status != 200] == []
        assert state.worst_window(MINUTE) == limit


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_the_same_for_some_minutes(tmp_path: Path, process_settings: dict[str, str]) -> None:
    limit, pages = 120, 70
    async with hungry_readers(tmp_path, process_settings, pages, limit) as (up, state, accepted):
        runs = await asyncio.gather(*(up.finished(each, within=600) for each in accepted))

    assert {run.status for run in runs} == {"succeeded"}, runs
    assert [arrival for arrival in state.arrivals if arrival.status != 200] == []
    assert state.worst_window(MINUTE) == limit
    # While all of them had work: until the first has read its last page.
    last = {arrival.path.partition("reader=")[2].partition("&")[0]: arrival.time for arrival in state.arrivals}
    assert len(last) == READERS
    hungry = [arrival.time for arrival in state.arrivals if arrival.time <= min(last.values())]
    full = (len(hungry) - 1) // limit  # minutes that were filled to the last call
    assert full >= 3, "there was too little work to tell"
    used = full * MINUTE / (hungry[full * limit] - hungry[0])
    print(f"{len(hungry)} calls, {full} full windows of {limit} in a minute, {used:.1%} of the budget used")
    assert used >= 0.95
