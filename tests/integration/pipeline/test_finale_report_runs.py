"""Sources that read Finale by its reports: the same rows as by REST, and nothing lost to what a report leaves out."""

from typing import Any

import pytest
from finale_reports import CREDENTIALS, add, config, report_url
from finale_truth import TRUTHS, assert_equal, stored

from pipeline import Pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.contracts.ids import SourceId
from shared.contracts.messages import encode_json

SMALL = Size(products=60, vendors=12, customers=4, purchase_orders=30, sales_orders=8)


async def check_all(pipeline: Pipeline, source: SourceId, state: FinaleState) -> None:
    for entity, truth in TRUTHS.items():
        assert_equal(entity, await stored(pipeline, entity, source), truth(state))


@pytest.mark.parametrize("form", ["csv", "jsonObject"])
async def test_a_report_gives_the_rows_that_rest_gives(pipeline: Pipeline, form: str) -> None:
    state = FinaleState(filling())
    async with running(build_app(state)) as url:
        source = await add(pipeline, config(url, form))

        view = await pipeline.sync(source)

        assert view.status == "succeeded", view
        assert {entity: counted.inserted for entity, counted in view.entities.items()} == {
            "inventory": 500,
            "vendors": 60,
            "purchase_orders": 80,
        }
        await check_all(pipeline, source, state)
        assert view.api_calls == len(state.arrivals) == 4 + 2 + 5
        assert {one.status for one in state.arrivals} == {200}
        reports = [one.path for one in state.arrivals if "/doc/report/" in one.path]
        assert all(one.startswith("/acme/doc/report/pivotTable/1717171717171/Report.") for one in reports)
        assert all("attrName=%23%23user042" in one and "rowDimensions=~gqFhAQ_-" in one for one in reports)


async def test_from_rest_to_reports_and_back_not_a_row_changes(pipeline: Pipeline) -> None:
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url:
        by_rest = {"account": "acme", "base_url": url, "time_zone": "America/New_York"}
        source = await pipeline.add_source(by_rest, CREDENTIALS, source_type="finale_inventory")
        assert (await pipeline.sync(source)).status == "succeeded"
        for changed in (config(url), config(url, "jsonObject"), by_rest):
            await configure(pipeline, source, changed)

            view = await pipeline.sync(source, mode="full")

            assert view.status == "succeeded", view
            for entity, counted in view.entities.items():
                assert counted.inserted == counted.updated == counted.deleted == 0, (entity, counted)
        await check_all(pipeline, source, state)


async def configure(pipeline: Pipeline, source: SourceId, changed: dict[str, Any]) -> None:
    await pipeline.admin.execute(
        "update external_data_sources set config = $2::jsonb where id = $1", source, encode_json(changed).decode()
    )


@pytest.mark.parametrize(
    "switches",
    [
        Switches(report_lines_before_header=True, report_bom=True),
        pytest.param(
            Switches(report_columns_left_out=frozenset({"Units reserved", "Units on order"})), marks=pytest.mark.soak
        ),
        Switches(report_columns_left_out=frozenset({"Units\nQoH", "Units in stock", "Units on order"})),
        Switches(report_columns_left_out=frozenset({"Supplier ID", "Amount", "Status", "Category"})),
        Switches(one_report_at_a_time=True),
    ],
    ids=["above", "stock by rest", "half the stock by rest", "names", "one at a time"],
)
async def test_whatever_columns_a_report_shows_the_rows_are_the_same(pipeline: Pipeline, switches: Switches) -> None:
    state = FinaleState(filling(SMALL), switches=switches)
    async with running(build_app(state)) as url:
        source = await add(pipeline, config(url))

        assert (await pipeline.sync(source)).status == "succeeded"
        await check_all(pipeline, source, state)
        assert (await pipeline.sync(source)).status == "succeeded"
        await check_all(pipeline, source, state)


async def test_columns_of_a_report_can_be_mapped(pipeline: Pipeline) -> None:
    state = FinaleState(filling(SMALL))
    rules = {"inventory": {"sku": "Product ID", "name": "Description", "quantity_on_hand": "Units QoH"}}
    async with running(build_app(state)) as url:
        source = await add(pipeline, config(url, "csv", "inventory"), field_mappings=rules)

        assert (await pipeline.sync(source, entities=("inventory",))).status == "succeeded"

        truth = TRUTHS["inventory"](state)
        for row in await pipeline.rows("inventory", source):
            due = truth[row["external_id"]]
            assert row["sku"] == due["sku"]
            assert (row["quantity_on_hand"] or 0) == due["quantity_on_hand"]


async def test_changes_between_two_runs_arrive(pipeline: Pipeline) -> None:
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url:
        source = await add(pipeline, config(url))
        assert (await pipeline.sync(source)).status == "succeeded"
        ordered = {line.get("productUrl") for one in state.records("order") for line in one["orderItemList"]}
        first = next(one["productUrl"] for one in state.records("product") if one["productUrl"] not in ordered)
        state.edit_product(first, productId="RENAMED", internalName="Renamed")
        state.deactivate_product(state.records("product")[1]["productUrl"])
        state.add_stock(first, state.records("facility")[1]["facilityUrl"], 7)
        state.add_product("NEW")
        locked = [one for one in state.records("order") if one["statusId"] == "ORDER_LOCKED"]
        order = next(one for one in locked if one["orderTypeId"] == "PURCHASE_ORDER")
        line = next(one for one in order["orderItemList"] if "productUrl" in one)
        state.receive(order["orderUrl"], {line["productUrl"]: 1})
        state.create_order()

        view = await pipeline.sync(source)

        assert view.status == "succeeded", view
        assert (view.entities["inventory"].inserted, view.entities["inventory"].deleted) == (1, 0)
        await check_all(pipeline, source, state)


async def test_a_report_with_a_filter_deletes_nothing_and_says_what_to_do(pipeline: Pipeline) -> None:
    """Inactive products stay ours; a report that shows the active ones alone would make them vanish."""
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url:
        source = await add(pipeline, config(url))
        assert (await pipeline.sync(source)).status == "succeeded"
        before = {entity: await stored(pipeline, entity, source) for entity in TRUTHS}
        narrowed = config(url)
        narrowed["report_urls"]["inventory"] = report_url(
            url, "product", "csv", ["productStatus", ["PRODUCT_ACTIVE"], None]
        )
        narrowed["report_urls"]["purchase_orders"] = report_url(
            url, "order", "csv", ["orderType", ["PURCHASE_ORDER"], None]
        )
        await configure(pipeline, source, narrowed)

        view = await pipeline.sync(source)

        assert view.entities["inventory"].status == "failed"
        assert view.entities["purchase_orders"].status == "succeeded"
        assert view.error is not None
        assert view.error.category == "DATA_ERROR"
        assert "leaves out" in view.error.message
        assert "filters" in (view.error.hint or "")
        assert {entity: await stored(pipeline, entity, source) for entity in TRUTHS} == before


async def test_who_waits_for_anothers_report_calls_nobody_meanwhile(pipeline: Pipeline) -> None:
    """A report of minutes must not cost the others an hour's calls: each of them waits before its first one."""
    state = FinaleState(filling(SMALL))
    state.behaviour.faults.set(FaultRule(kind="delay", ms=9_000, path="/acme/doc/report/", count=1))
    async with running(build_app(state)) as url:
        source = await add(pipeline, config(url))

        view = await pipeline.sync(source, within=60)

        assert view.status == "succeeded", view
        assert len(state.arrivals) <= 11 + 2, [one.path.partition("?")[0] for one in state.arrivals]
        await check_all(pipeline, source, state)
