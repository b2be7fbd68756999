"""The test of a Finale source: two calls for three entities, each with its own answer, and each report's beginning."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from finale_reports import CREDENTIALS, SETS, report_url
from finale_trouble import by_rest
from one_call import one_call

from pipeline import Pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.spoils import Spoil
from sandboxes.finale.state import FinaleState
from sandboxes.serving import running
from services.fetcher.budget import budgets_of
from shared.clock import SystemClock
from shared.connector_sdk.conformance.workbench import Ledger
from shared.connector_sdk.credentials import apply
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.spec import RateLimit
from shared.connectors.finale.source import FinaleConnector, FinaleSource
from shared.connectors.finale.spec import SPEC
from shared.contracts.ids import ENTITIES, Entity, SourceId
from shared.contracts.messages import ProbeReply, ProbeRequested, SampleReply, SampleRequested, decode, encode
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.redis import RedisServer
from shared.errors import HeadraceError
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy
from shared.messaging.ports import Message
from shared.storage import probes

SMALL = Size(products=60, vendors=12, customers=4, purchase_orders=30, sales_orders=8)
GRAPHQL, PARTY = "/acme/api/graphql", "/acme/api/partygroup/"


@dataclass(frozen=True)
class Shop:
    """One account, and a source on it that is not saved anywhere."""

    state: FinaleState
    source: FinaleSource
    ledger: Ledger

    async def tested(self) -> dict[Entity, int | str]:
        """Each entity's count, or its error's category; within what the test said that it costs."""
        before = len(self.state.arrivals)
        found = await self.source.check_together(ENTITIES)
        most = self.source.calls_of_checks(ENTITIES)
        assert all(count <= most.get(name, 0) for name, count in self.ledger.spent.items()), self.ledger.spent
        assert len(self.state.arrivals) - before == self.ledger.spent["get"] + self.ledger.spent["post"]
        return {key: one.category if isinstance(one, HeadraceError) else one for key, one in found.items()}


@asynccontextmanager
async def shop(reports: dict[str, str] | None = None, secret: str = "secret", **config: Any) -> AsyncIterator[Shop]:
    state, ledger = FinaleState(filling(SMALL)), Ledger()
    async with running(build_app(state)) as url, HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock()) as http:
        urls = {entity: report_url(url, data) for entity, data in (reports or {}).items()}
        secrets = apply(SPEC.credentials.validate_python(CREDENTIALS | {"api_secret": secret}))
        connector = FinaleConnector(test_seconds=0.3)
        source = connector.open(by_rest(url) | {"report_urls": urls} | config, MeteredClient(http, secrets, ledger))
        yield Shop(state, source, ledger)


async def test_two_calls_tell_of_three_entities() -> None:
    async with shop() as mine:
        assert await mine.tested() == {"inventory": 1, "vendors": 1, "purchase_orders": 1}
        assert [one.path.partition("?")[0] for one in mine.state.arrivals] == ["/acme/api/product/", GRAPHQL]


async def test_an_empty_account_has_samples_of_nothing() -> None:
    async with shop() as mine:
        mine.state.store.clear()
        assert await mine.tested() == {"inventory": 0, "vendors": 0, "purchase_orders": 0}


@pytest.mark.parametrize(
    ("reports", "calls"), [(SETS, 5), ({"inventory": "product"}, 3)], ids=["all by report", "products by report"]
)
async def test_each_report_is_begun(reports: dict[str, str], calls: int) -> None:
    async with shop(reports) as mine:
        assert await mine.tested() == {entity: 20 if entity in reports else 1 for entity in ENTITIES}
        assert len(mine.state.arrivals) == calls


async def test_a_report_that_takes_long_is_not_waited_for() -> None:
    async with shop(SETS) as mine:
        mine.state.behaviour.faults.set(FaultRule(kind="delay", ms=30_000, path="/acme/doc/report/"))
        assert await mine.tested() == {"inventory": 1, "vendors": 1, "purchase_orders": 1}


async def test_the_wrong_report_is_the_entitys_own_trouble() -> None:
    async with shop(SETS | {"inventory": "party"}) as mine:
        assert await mine.tested() == {"inventory": "CONFIG_ERROR", "vendors": 20, "purchase_orders": 20}


@pytest.mark.parametrize(
    ("secret", "config", "category"),
    [("wrong", {}, "AUTH_FAILED"), ("secret", {"account": "other"}, "CONFIG_ERROR")],
    ids=["key", "account"],
)
async def test_what_is_wrong_with_all_is_asked_once(secret: str, config: dict[str, str], category: str) -> None:
    async with shop(secret=secret, **config) as mine:
        assert await mine.tested() == dict.fromkeys(ENTITIES, category)
        assert len(mine.state.arrivals) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Spoil(kind="graphql_error", path=GRAPHQL),
        Spoil(kind="graphql_half", path=GRAPHQL),
        FaultRule(kind="status", status=404, path=GRAPHQL),
        FaultRule(kind="html", path=GRAPHQL),
        FaultRule(kind="drop", path=GRAPHQL),
    ],
    ids=["errors", "half", "404", "page", "dropped"],
)
async def test_without_graphql_each_entity_is_asked_by_rest(trouble: FaultRule | Spoil) -> None:
    async with shop() as mine:
        if isinstance(trouble, Spoil):
            mine.state.spoils.set(trouble)
        else:
            mine.state.behaviour.faults.set(trouble, FaultRule(kind="status", status=502, path=PARTY))
        vendors = 1 if isinstance(trouble, Spoil) else "NETWORK_ERROR"
        assert await mine.tested() == {"inventory": 1, "vendors": vendors, "purchase_orders": 1}
        assert len(mine.state.arrivals) == 4


async def test_a_collection_that_fails_leaves_the_others_their_answer() -> None:
    async with shop() as mine:
        mine.state.behaviour.faults.set(FaultRule(kind="status", status=502, path="/acme/api/product/"))
        assert await mine.tested() == {"inventory": "NETWORK_ERROR", "vendors": 1, "purchase_orders": 1}


async def test_the_fetcher_answers_a_test_by_two_calls_and_with_wrong_keys_by_one(pipeline: Pipeline) -> None:
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url:
        replies = []
        for secret in ("secret", "wrong"):
            credentials = CREDENTIALS | {"api_secret": secret}
            source = await pipeline.add_source(by_rest(url), credentials, source_type="finale_inventory")
            replies.append(await answer_of(pipeline, source, by_rest(url)))

    good, bad = replies
    assert good.ok, good
    assert set(good.entities) == set(ENTITIES)
    assert {(one.ok, one.sample_count) for one in good.entities.values()} == {(True, 1)}
    assert (bad.ok, bad.category, set(bad.entities)) == (False, "AUTH_FAILED", set(ENTITIES))
    assert not any(one.ok for one in bad.entities.values())
    assert len(state.arrivals) == 2 + 1


async def test_while_a_run_reads_a_report_the_test_tells_what_rest_told(
    pipeline: Pipeline, redis_url: str, redis_prefix: str
) -> None:
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url, RedisServer.at(redis_url) as redis:
        config = by_rest(url) | {"report_urls": {entity: report_url(url, data) for entity, data in SETS.items()}}
        source = await pipeline.add_source(config, CREDENTIALS, source_type="finale_inventory")
        account = f"finale_inventory|{SPEC.account(config, '')}"
        turn = budgets_of(SPEC.rate_limits, RateLimit(), account, "a run")["report"]
        gate = SlotGate(RedisRateLimiter(redis, history=no_history, prefix=redis_prefix), SystemClock())
        async with one_call(gate, turn):
            reply = await answer_of(pipeline, source, config)
        assert reply.ok, reply
        assert {entity: one.sample_count for entity, one in reply.entities.items()} == dict.fromkeys(ENTITIES, 1)
        assert not any("/doc/report/" in arrival.path for arrival in state.arrivals)
        read = await answer_of(pipeline, source, config)
    assert {one.sample_count for one in read.entities.values()} == {20}


async def no_history(_scope: str) -> list[tuple[float, int]]:
    return []


async def test_a_sample_of_orders_has_orders_though_the_first_page_only_tells_where_they_are(
    pipeline: Pipeline,
) -> None:
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url:
        source = await pipeline.add_source(by_rest(url), CREDENTIALS, source_type="finale_inventory")
        asked = SampleRequested(probe_id=await row_of(pipeline, source, by_rest(url)), entity="purchase_orders", size=3)
        answer = await pipeline.bus.request("probe", Message(SampleRequested.KIND, encode(asked)), timeout=30)
    reply = decode(SampleReply, answer.body)
    assert reply.ok, reply
    assert [bool(record["orderItemList"]) for record in reply.records] == [True] * 3


async def row_of(pipeline: Pipeline, source: SourceId, config: dict[str, Any]) -> UUID:
    """What the gateway leaves for the fetcher."""
    probe_id = uuid4()
    async with pipeline.databases["gateway"].for_tenant(pipeline.user_id) as conn:
        await probes.insert_stored(conn, probe_id, pipeline.user_id, "finale_inventory", config, source)
    return probe_id


async def answer_of(pipeline: Pipeline, source: SourceId, config: dict[str, Any]) -> ProbeReply:
    """As the gateway asks for it."""
    request = ProbeRequested(probe_id=await row_of(pipeline, source, config), source_id=source)
    answer = await pipeline.bus.request("probe", Message(ProbeRequested.KIND, encode(request)), timeout=30)
    return decode(ProbeReply, answer.body)
