"""Several fetcher processes, several sources, one QuickBooks company: its windows full, and never a call too many."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from up_harness import Up, headrace_up

from pipeline import eventually
from sandboxes.behaviour.limits import Arrival
from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.serving import running
from services.gateway.models import RunAccepted

MINUTE, SECOND = 60.0, 1.0
ORDERS_A_PAGE = 2
USED = 0.95
"""Of the budget, at least, while work waits."""


@dataclass
class Company:
    """The company, the processes that read it, and a run of its orders for each source."""

    state: QuickBooksState
    up: Up
    runs: list[RunAccepted]

    def calls(self) -> list[Arrival]:
        """For data: signing in has no part in the limits."""
        return [arrival for arrival in self.state.arrivals if arrival.account != "sign-in"]

    async def made(self) -> int:
        return len(self.calls())

    def refused(self) -> list[Arrival]:
        return [arrival for arrival in self.calls() if arrival.status != 200]

    async def finish(self, accepted: RunAccepted) -> tuple[str, float]:
        """How the run ended, and when its source was surely hungry no more."""
        run = await self.up.run_when(accepted, lambda run: run.finished_at is not None, within=900, every=2.0)
        return run.status, self.state.clock.steady()


@asynccontextmanager
async def readers(
    directory: Path,
    settings: dict[str, str],
    *,
    fetchers: int,
    sources: int,
    pages: int,
    per_minute: int,
    per_second: int,
) -> AsyncIterator[Company]:
    """All at once, each with `pages` pages to read under the limits of the realm and of the app."""
    switches = Switches(
        realm_limits=((per_minute, MINUTE),), app_limits=((per_second, SECOND),), query_max=ORDERS_A_PAGE
    )
    state = QuickBooksState(Size(6, 3, pages * ORDERS_A_PAGE), switches=switches)
    async with (
        running(build_app(state)) as url,
        headrace_up(
            directory / "data", directory / "log", "--scale", f"fetcher={fetchers}", "--dev-user",
            egress_allow=urlsplit(url).netloc, **settings,
        ) as up,
    ):  # fmt: skip
        limit = {"per_minute": per_minute, "per_second": per_second}
        made = [await up.add_source(_source(state, url, number, limit)) for number in range(sources)]
        wish = {"entities": ["purchase_orders"]}
        runs = [
            await asyncio.to_thread(up.client().post, RunAccepted, f"/api/sources/{source.id}/sync", wish)
            for source in made
        ]
        yield Company(state, up, runs)


def _source(state: QuickBooksState, url: str, number: int, limit: Mapping[str, int]) -> dict[str, Any]:
    """Each with a consent of its own: the limits are the company's all the same."""
    return {
        "source_type": "quickbooks",
        "display_name": f"reader {number}",
        "config": {
            "client_id": "sandbox-client", "realm_id": DEFAULT_REALM, "environment": "sandbox",
            "base_url": url, "token_url": f"{url}/oauth2/v1/tokens/bearer",
        },
        "credentials": {"client_secret": "sandbox-secret", "refresh_token": state.grant()["refresh_token"]},
        "sync_frequency": "manual",
        "rate_limit": dict(limit),
    }  # fmt: skip


@pytest.mark.timeout(300)
async def test_fetchers_fill_a_companys_minute_and_then_wait(tmp_path: Path, process_settings: dict[str, str]) -> None:
    limit = 24
    least = math.ceil(USED * limit)
    async with readers(
        tmp_path, process_settings, fetchers=3, sources=6, pages=26, per_minute=limit, per_second=6
    ) as company:
        # A slot that is some seconds away is a parked message: the last of them may still be on its way. A worker that
        # a busy machine makes late for its slot gives it up.
        await eventually(company.made, lambda calls: calls >= least, within=60, every=0.1)
        for each in company.runs:
            await company.up.run_when(each, lambda run: run.waiting_on == "rate_limit", every=0.5)
        assert company.refused() == []
        assert least <= company.state.limits.realms.worst_window(MINUTE) == len(company.calls()) <= limit
        assert company.state.limits.apps.worst_window(SECOND) <= 6


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_eight_fetchers_at_the_vendors_real_limits(tmp_path: Path, process_settings: dict[str, str]) -> None:
    limit = 500
    async with readers(
        tmp_path, process_settings, fetchers=8, sources=16, pages=125, per_minute=limit, per_second=10
    ) as company:
        ended = await asyncio.gather(*(company.finish(each) for each in company.runs))

    limits = company.state.limits
    print(
        f"{len(company.refused())} of {len(company.calls())} refused; at most {limits.realms.worst_window(MINUTE)} "
        f"in a minute, {limits.apps.worst_window(SECOND)} in a second, {max(limits.max_in_flight.values())} at once"
    )
    assert {status for status, _ in ended} == {"succeeded"}
    assert company.refused() == []
    assert company.state.limits.realms.worst_window(MINUTE) == limit
    assert company.state.limits.apps.worst_window(SECOND) <= 10
    # While all of them had work: until the first has read its last page.
    last = min(time for _, time in ended)
    hungry = [arrival.time for arrival in company.calls() if arrival.time <= last]
    full = (len(hungry) - 1) // limit  # minutes that were filled to the last call
    assert full >= 2, "there was too little work to tell"
    used = full * MINUTE / (hungry[full * limit] - hungry[0])
    print(f"{len(hungry)} calls, {full} full windows of {limit} in a minute, {used:.1%} of the budget used")
    assert used >= USED
