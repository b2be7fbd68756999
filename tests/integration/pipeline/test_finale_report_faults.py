"""Reports and GraphQL in trouble, as REST in test_finale_run_faults.py: the right end, in words; no row is changed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from finale_reports import config
from finale_trouble import Case, assert_ends_in_words, assert_is_waited_for

from pipeline import Pipeline, running_pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.spoils import Spoil
from sandboxes.finale.switches import Switches
from shared.connector_sdk.registry import Registry
from shared.connectors.finale.source import FinaleConnector
from shared.contracts.ids import ENTITIES

REPORT, GRAPHQL = "/acme/doc/report/", "/acme/api/graphql"
ALL, ORDERS = frozenset(ENTITIES), frozenset({"purchase_orders"})
# orders are read with the addresses of their products
BOTH = frozenset({"inventory", "purchase_orders"})


def _report(kind: str, **more: Any) -> FaultRule:
    return FaultRule(kind=kind, path=REPORT, **more)  # type: ignore[arg-type] - the kinds are spelled out below


AT_ONCE = {
    "empty report": Case(Spoil(kind="empty_report", path=REPORT), "DATA_ERROR", "is empty", ALL),
    "cut report": Case(Spoil(kind="cut_report", path=REPORT), "DATA_ERROR", "leaves out", BOTH),
    "wrong encoding": Case(_report("wrong_encoding", encoding="latin-1"), "DATA_ERROR", "copy its new address", ALL),
    "400": Case(_report("status", status=400), "CONFIG_ERROR", "no such report", ALL),
    "404": Case(_report("status", status=404), "CONFIG_ERROR", "no such report", ALL),
    "401": Case(_report("status", status=401), "AUTH_FAILED", "api_secret", ALL),
    "402": Case(FaultRule(kind="status", status=402), "CONFIG_ERROR", "plan", ALL),
    "stock cut": Case(Spoil(kind="short_column", path="/acme/api/product/"), "DATA_ERROR", "which row", BOTH),
}
TRIED_AGAIN = {
    "html": Case(_report("html"), "DATA_ERROR", "web page", ALL),
    "empty": Case(_report("empty"), "DATA_ERROR", "empty body", ALL),
    "cut": Case(_report("cut"), "DATA_ERROR", "cut", ALL),
    "cut chunked": Case(_report("cut", chunked=True), "DATA_ERROR", "cut", ALL),
    "error object": Case(Spoil(kind="error_object", path=REPORT), "DATA_ERROR", "report", ALL),
    "502": Case(_report("status", status=502), "NETWORK_ERROR", "502", ALL),
    "dropped": Case(_report("drop"), "NETWORK_ERROR", "report", ALL),
}
PASSING: list[FaultRule | Spoil] = [
    _report("html", count=1),
    _report("cut", count=2),
    _report("status", status=502, count=1),
    _report("drop", count=2),
    _report("status", status=429, headers={"Retry-After": "1"}, count=1),
]


@pytest.mark.parametrize("form", ["csv", pytest.param("jsonObject", marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "cases", [AT_ONCE, pytest.param(TRIED_AGAIN, marks=pytest.mark.soak)], ids=["at once", "tried again"]
)
async def test_what_lasts_in_reports_ends_the_run_in_words(
    pipeline: Pipeline, cases: dict[str, Case], form: str
) -> None:
    await assert_ends_in_words(pipeline, cases, lambda _: lambda url: config(url, form))


async def test_what_passes_in_reports_is_waited_for(pipeline: Pipeline) -> None:
    await assert_is_waited_for(pipeline, PASSING, config)


# GraphQL

_CAP = 12
"""Orders of the little shops, sales included."""


@pytest.fixture
async def capped(database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Pipeline]:
    """Where every account of twelve orders is too large for REST."""
    registry = Registry([FinaleConnector(cap=_CAP)])
    async with running_pipeline(database_url, redis_url, redis_prefix, registry=registry) as pipeline:
        yield pipeline


def _query(kind: str, **more: Any) -> FaultRule:
    return FaultRule(kind=kind, path=GRAPHQL, **more)  # type: ignore[arg-type] - as above


VIEW_AT_ONCE = {
    "401": Case(_query("status", status=401), "AUTH_FAILED", "api_secret", ORDERS),
    "402": Case(_query("status", status=402), "CONFIG_ERROR", "plan", ORDERS),
    "404": Case(_query("status", status=404), "CONFIG_ERROR", "<account>", ORDERS),
    "401 later": Case(_query("status", status=401, skip=1), "AUTH_FAILED", "api_secret", ORDERS),
}
VIEW_TRIED_AGAIN = {
    "errors": Case(Spoil(kind="graphql_error", path=GRAPHQL), "DATA_ERROR", "GraphQL tells of an error", ORDERS),
    "half": Case(Spoil(kind="graphql_half", path=GRAPHQL), "DATA_ERROR", "GraphQL tells of an error", ORDERS),
    "errors later": Case(Spoil(kind="graphql_error", path=GRAPHQL, skip=1), "DATA_ERROR", "GraphQL tells", ORDERS),
    "error object": Case(Spoil(kind="error_object", path=GRAPHQL), "DATA_ERROR", "GraphQL tells", ORDERS),
    "html": Case(_query("html"), "DATA_ERROR", "web page", ORDERS),
    "empty": Case(_query("empty"), "DATA_ERROR", "empty body", ORDERS),
    "cut": Case(_query("cut"), "DATA_ERROR", "cut", ORDERS),
    "truncated": Case(_query("truncated_json"), "DATA_ERROR", "JSON", ORDERS),
    "502": Case(_query("status", status=502), "NETWORK_ERROR", "502", ORDERS),
    "dropped": Case(_query("drop"), "NETWORK_ERROR", "graphql", ORDERS),
}
VIEW_PASSING: list[FaultRule | Spoil] = [
    Spoil(kind="graphql_error", path=GRAPHQL, count=2),
    Spoil(kind="graphql_half", path=GRAPHQL, skip=1, count=1),
    _query("cut", skip=1, count=1),
    _query("status", status=502, count=2),
    _query("status", status=429, headers={"Retry-After": "1"}, skip=1, count=1),
]
_VIEW = Switches(collection_cap=_CAP, graphql_most_rows=4)


@pytest.mark.parametrize(
    "cases", [VIEW_AT_ONCE, pytest.param(VIEW_TRIED_AGAIN, marks=pytest.mark.soak)], ids=["at once", "tried again"]
)
async def test_what_lasts_in_graphql_ends_the_run_in_words(capped: Pipeline, cases: dict[str, Case]) -> None:
    await assert_ends_in_words(capped, cases, switches=_VIEW, entities=("purchase_orders",))


async def test_what_passes_in_graphql_is_waited_for(capped: Pipeline) -> None:
    await assert_is_waited_for(capped, VIEW_PASSING, switches=_VIEW, entities=("purchase_orders",))
