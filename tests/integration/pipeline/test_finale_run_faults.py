"""Everything that Finale's answers can have: the right end of the run, in words, and not a row changed by it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from finale_trouble import CREDENTIALS, Case, assert_ends_in_words, assert_is_waited_for, shop
from finale_truth import TRUTHS

from pipeline import Pipeline, eventually
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.spoils import Spoil
from shared.contracts.ids import SourceId

PRODUCT, STOCK, PARTY = "/acme/api/product/", "/acme/api/inventoryitem/", "/acme/api/partygroup/"
FACILITY = "/acme/api/facility/"
ORDER, SHIPMENT = "/acme/api/order/", "/acme/api/shipment/"


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
    "short facility": Case(
        Spoil(kind="short_column", path=FACILITY, field="facilityName"), "DATA_ERROR", "facilityName"
    ),
    "no facility": Case(
        Spoil(kind="dropped_field", path=FACILITY, field="facilityUrl"), "DATA_ERROR", "facilityUrl"
    ),
    "html facility": Case(FaultRule(kind="html", path=FACILITY), "DATA_ERROR", "web page"),
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


AT_ONCE = ("short column", "short stock", "short order", "no identity", "no on hand", "no on order", "no order type")
AT_ONCE += ("no roles", "no lines", "401", "402", "404")
TRIED_AGAIN = ("html", "empty", "cut", "half an order", "502", "dropped", "error errorMessage")
REST = tuple(name for name in LASTING if name not in AT_ONCE + TRIED_AGAIN)


@pytest.mark.parametrize(
    "names", [AT_ONCE, TRIED_AGAIN, pytest.param(REST, marks=pytest.mark.soak)], ids=["at once", "tried again", "rest"]
)
async def test_what_lasts_ends_the_run_in_words_and_changes_no_row(pipeline: Pipeline, names: tuple[str, ...]) -> None:
    await assert_ends_in_words(pipeline, {name: LASTING[name] for name in names})


PASSING: list[FaultRule | Spoil] = [
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
    await assert_is_waited_for(pipeline, PASSING)


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
