"""The test of a source that reads reports: each is begun, and none is waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from finale_reports import CREDENTIALS, config, report_url

from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.connector_sdk.conformance.workbench import Ledger
from shared.connector_sdk.credentials import apply
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import Source
from shared.connectors.finale.source import FinaleConnector
from shared.connectors.finale.spec import SPEC
from shared.contracts.ids import ENTITIES
from shared.errors import ConfigurationError
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy

SMALL = Size(products=60, vendors=12, customers=4, purchase_orders=30, sales_orders=8)


@asynccontextmanager
async def opened(state: FinaleState, data: str | None = None) -> AsyncIterator[Source]:
    async with (
        running(build_app(state)) as url,
        HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock()) as http,
    ):
        client = MeteredClient(http, apply(SPEC.credentials.validate_python(CREDENTIALS)), Ledger())
        chosen = config(url)
        if data is not None:
            chosen["report_urls"] = {"inventory": report_url(url, data)}
        yield FinaleConnector(test_seconds=0.3).open(chosen, client)


async def test_a_test_reads_the_beginning_of_each_report() -> None:
    state = FinaleState(filling(SMALL))
    async with opened(state) as source:
        assert [await source.check(entity) for entity in ENTITIES] == [20, 20, 20]
        assert len(state.arrivals) == 2 * len(ENTITIES)


async def test_a_test_does_not_wait_for_a_report_that_takes_long() -> None:
    state = FinaleState(filling(SMALL))
    state.behaviour.faults.set(FaultRule(kind="delay", ms=30_000, path="/acme/doc/report/"))
    async with opened(state) as source, asyncio.timeout(10):
        assert [await source.check(entity) for entity in ENTITIES] == [1, 1, 1]


@pytest.mark.parametrize(
    ("data", "says"),
    [("party", "has no column Product ID; its columns are Name, Email address 0"), ("x", "status 400")],
)
async def test_a_test_says_that_it_is_the_wrong_report(data: str, says: str) -> None:
    state = FinaleState(filling(SMALL))
    async with opened(state, data) as source:
        with pytest.raises(ConfigurationError) as caught:
            await source.check("inventory")
        assert says in caught.value.message
        assert caught.value.hint
