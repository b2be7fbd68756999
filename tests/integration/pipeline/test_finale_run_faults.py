"""Everything that Finale's answers can have: the right end of the run, in words, and not a row changed by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from finale_truth import TRUTHS, Rows, assert_equal, stored

from pipeline import Pipeline, eventually
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.spoils import Spoil
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.contracts.ids import SourceId

TINY = Size(products=12, vendors=4, customers=1, purchase_orders=10, sales_orders=2, locations=1, sublocations=2)
CREDENTIALS = {"api_key": "key", "api_secret": "secret"}
PRODUCT, STOCK, PARTY = "/acme/api/product/", "/acme/api/inventoryitem/", "/acme/api/partygroup/"
ORDER, SHIPMENT = "/acme/api/order/", "/acme/api/shipment/"


@dataclass(frozen=True)
class Case:
    """What goes wrong, and how the run ends: the entities that fail, why, and a word of the message or hint."""

    trouble: FaultRule | Spoil
    category: str
    says: str
    failed: frozenset[str] = frozenset({"inventory"})


ORDERS, ALL = frozenset({"purchase_orders"}), frozenset(TRUTHS)
# partygroup is read for the addresses of an order's supplier too
PARTIES = frozenset({"vendors", "purchase_orders"})
LASTING = {
    "short column": Case(Spoil(kind="short_column", path=PRODUCT, field="internalName"), "DATA_ERROR", "internalName"),
    "short stock": Case(Spoil(kind="short_column", path=STOCK, field="productUrl"), "DATA_ERROR", "productUrl"),
    "short order": Case(Spoil(kind="short_column", path=ORDER, field="statusId"), "DATA_ERROR", "statusId", ORDERS),
    "no identity": Case(Spoil(kind="dropped_field", path=PRODUCT, field="productUrl"), "DATA_ERROR", "productUrl"),
    "no on hand": Case(Spoil(kind="dropped_field", path=STOCK, field="quantityOnHand"), "DATA_ERROR", "quantityOnHand"),
    "no on order": Case(
        Spoil(kind="dropped_field", path=STOCK, field="quantityOnOrder"), "DATA_ERROR", "quantityOnOrder"
    ),
    "no order type": Case(
        Spoil(kind="dropped_field", path=ORDER, field="orderTypeId"), "DATA_ERROR", "orderTypeId", ORDERS
    ),
    "no roles": Case(
        Spoil(kind="dropped_field", path=PARTY, field="roleTypeIdList"), "DATA_ERROR", "roleTypeIdList",
        frozenset({"vendors"}),
    ),
    "no lines": Case(
        Spoil(kind="dropped_field", path=f"{ORDER}1", field="orderItemList"), "DATA_ERROR", "orderItemList", ORDERS
    ),
    "html": Case(FaultRule(kind="html", path=PRODUCT), "DATA_ERROR", "web page"),
    "html stock": Case(FaultRule(kind="html", path=STOCK), "DATA_ERROR", "web page"),
    "empty": Case(FaultRule(kind="empty", path=PRODUCT), "DATA_ERROR", "empty body"),
    "cut": Case(FaultRule(kind="cut", path=PARTY), "DATA_ERROR", "cut", PARTIES),
    "cut chunked": Case(FaultRule(kind="cut", path=PRODUCT, chunked=True), "DATA_ERROR", "cut"),
    "half a json": Case(FaultRule(kind="truncated_json", path=STOCK), "DATA_ERROR", "cut off"),
    "half an order": Case(FaultRule(kind="truncated_json", path=f"{ORDER}1"), "DATA_ERROR", "JSON", ORDERS),
    "html order": Case(FaultRule(kind="html", path=f"{ORDER}1"), "DATA_ERROR", "web page", ORDERS),
    "error order": Case(Spoil(kind="error_object", path=f"{ORDER}1"), "DATA_ERROR", "failure", ORDERS),
    "502": Case(FaultRule(kind="status", status=502, path=SHIPMENT), "NETWORK_ERROR", "502", ORDERS),
    "dropped": Case(FaultRule(kind="drop", path=PRODUCT), "NETWORK_ERROR", "product"),
    "401": Case(FaultRule(kind="status", status=401), "AUTH_FAILED", "api_secret", ALL),
    "402": Case(FaultRule(kind="status", status=402), "CONFIG_ERROR", "plan", ALL),
    "404": Case(FaultRule(kind="status", status=404), "CONFIG_ERROR", "<account>", ALL),
} | {
    f"error {form}": Case(Spoil(kind="error_object", path=PRODUCT, field=form), "DATA_ERROR", "failure")
    for form in ("errorMessage", "error", "message", "exception", "errors", "errorMessageList")
}  # fmt: skip


@dataclass
class Shop:
    """One account with a source on it that was synced once."""

    state: FinaleState
    source: SourceId
    before: dict[str, Rows]

    def trouble(self, trouble: FaultRule | Spoil) -> None:
        if isinstance(trouble, Spoil):
            self.state.spoils.set(trouble)
        else:
            self.state.behaviour.faults.set(trouble)


async def rows_of(pipeline: Pipeline, source: SourceId) -> dict[str, Rows]:
    return {entity: await stored(pipeline, entity, source) for entity in TRUTHS}


@asynccontextmanager
async def shop(pipeline: Pipeline, **switches: Any) -> AsyncIterator[Shop]:
    state = FinaleState(filling(TINY), switches=Switches(**switches))
    async with running(build_app(state)) as url:
        config = {"account": "acme", "base_url": url, "time_zone": "America/New_York"}
        source = await pipeline.add_source(config, CREDENTIALS, source_type="finale_inventory")
        view = await pipeline.sync(source)
        assert view.status == "succeeded", view
        before = await rows_of(pipeline, source)
        for entity, truth in TRUTHS.items():
            assert_equal(entity, before[entity], truth(state))
        yield Shop(state, source, before)


AT_ONCE = ("short column", "short stock", "short order", "no identity", "no on hand", "no on order", "no order type")
AT_ONCE += ("no roles", "no lines", "401", "402", "404")
TRIED_AGAIN = ("html", "empty", "cut", "half an order", "502", "dropped", "error errorMessage")
REST = tuple(name for name in LASTING if name not in AT_ONCE + TRIED_AGAIN)


@pytest.mark.parametrize(
    "names", [AT_ONCE, TRIED_AGAIN, pytest.param(REST, marks=pytest.mark.soak)], ids=["at once", "tried again", "rest"]
)
async def test_what_lasts_ends_the_run_in_words_and_changes_no_row(pipeline: Pipeline, names: tuple[str, ...]) -> None:
    """Several at once, each on an account of its own: some are tried again for half a minute first."""
    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(*(stack.enter_async_context(shop(pipeline)) for _ in names))
        shops = dict(zip(names, opened, strict=True))
        for name in names:
            shops[name].trouble(LASTING[name].trouble)

        async def run(name: str, case: Case) -> str:
            mine = shops[name]
            view = await pipeline.sync(mine.source, mode="full", within=110)
            found = {entity for entity, counted in view.entities.items() if counted.status == "failed"}
            told = f"{view.error.message} {view.error.hint}" if view.error else ""
            problems = [
                found != case.failed and f"failed: {found}",
                view.status != ("failed" if case.failed == ALL else "partial") and f"status {view.status}",
                (view.error is None or view.error.category != case.category) and f"error {view.error}",
                case.says not in told and f"says {told}",
                (view.error is None or not view.error.hint) and case.category != "NETWORK_ERROR" and
                "empty" not in told and "JSON" not in told and "cut" not in told and f"no hint: {told}",
                await rows_of(pipeline, mine.source) != mine.before and "rows changed",
                any(counted.deleted for counted in view.entities.values()) and "deleted",
            ]  # fmt: skip
            return "".join(f"\n{name}: {problem}" for problem in problems if problem)

        wrong = await asyncio.gather(*(run(name, LASTING[name]) for name in names))
        assert not any(wrong), "".join(wrong)

        async def heal(name: str) -> str:
            shops[name].state.spoils.set()
            shops[name].state.behaviour.faults.set()
            view = await pipeline.sync(shops[name].source, mode="full", within=60)
            return "" if view.status == "succeeded" else f"\n{name}: {view.status} {view.error}"

        wrong = await asyncio.gather(*map(heal, names))
        assert not any(wrong), "".join(wrong)
        for mine in shops.values():
            assert await rows_of(pipeline, mine.source) == mine.before


PASSING = [
    FaultRule(kind="status", status=502, count=2),
    FaultRule(kind="drop", count=2),
    FaultRule(kind="cut", path=STOCK, count=2),
    FaultRule(kind="html", path=ORDER, count=2),
    FaultRule(kind="empty", path=f"{ORDER}1", count=2),
    FaultRule(kind="truncated_json", path=PARTY, count=2),
    Spoil(kind="error_object", path=PRODUCT, count=2),
    FaultRule(kind="status", status=429, headers={"Retry-After": "2"}, path=PRODUCT, count=1),
]


async def test_what_passes_is_waited_for_and_every_row_arrives(pipeline: Pipeline) -> None:
    async with AsyncExitStack() as stack:
        shops = await asyncio.gather(*(stack.enter_async_context(shop(pipeline)) for _ in PASSING))

        async def run(mine: Shop, trouble: FaultRule | Spoil) -> str:
            mine.trouble(trouble)
            mine.state.edit_product(mine.state.records("product")[0]["productUrl"], internalName="Edited")
            view = await pipeline.sync(mine.source, mode="full", within=90)
            for entity, truth in TRUTHS.items():
                assert_equal(entity, await stored(pipeline, entity, mine.source), truth(mine.state))
            return "" if view.status == "succeeded" else f"\n{trouble}: {view.status} {view.error}"

        wrong = await asyncio.gather(*(run(mine, trouble) for mine, trouble in zip(shops, PASSING, strict=True)))
        assert not any(wrong), "".join(wrong)


@pytest.mark.parametrize(("said", "longest"), [(None, 61.0), ("30", 31.0)])
async def test_a_429_stops_the_whole_account_for_as_long_as_it_says_or_a_minute(
    pipeline: Pipeline, said: str | None, longest: float
) -> None:
    async with shop(pipeline) as mine:
        headers = {} if said is None else {"Retry-After": said}
        mine.trouble(FaultRule(kind="status", status=429, headers=headers, path=PRODUCT))
        start = len(mine.state.arrivals)

        run = await pipeline.ask(mine.source, mode="full", entities=("inventory",))
        view = await eventually(lambda: pipeline.view(run), lambda seen: seen.waiting_on == "rate_limit", within=10)

        assert longest - 11 < (view.resume_at - datetime.now(UTC)).total_seconds() <= longest
        other = await pipeline.add_source(  # another source of the account waits too
            {"account": "acme", "base_url": (await config_of(pipeline, mine.source))["base_url"]},
            {"api_key": "key", "api_secret": "secret"},
            source_type="finale_inventory",
        )
        waiting = await pipeline.ask(other, entities=("vendors",))
        await eventually(lambda: pipeline.view(waiting), lambda seen: seen.waiting_on == "rate_limit", within=10)
        assert [one.status for one in mine.state.arrivals[start:]] == [429]


async def config_of(pipeline: Pipeline, source: SourceId) -> dict[str, Any]:
    text = await pipeline.admin.fetchval("select config from external_data_sources where id = $1", source)
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


async def test_credentials_go_to_no_server_that_nobody_allowed(pipeline: Pipeline) -> None:
    config = {"account": "acme", "base_url": "https://collector.example"}
    source = await pipeline.add_source(config, CREDENTIALS, source_type="finale_inventory")

    view = await pipeline.sync(source)

    assert view.status == "failed"
    assert view.error is not None
    assert view.error.category == "CONFIG_ERROR"
    assert "HEADRACE_EGRESS_ALLOW" in (view.error.hint or "")
    assert view.api_calls == 0
