"""Orders of an account that is too large for REST: by GraphQL, page after page, and the same rows."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from finale_truth import TRUTHS, assert_equal, stored

from pipeline import Pipeline, eventually, running_pipeline
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.connector_sdk.registry import Registry
from shared.connectors.finale.source import FinaleConnector
from shared.contracts.ids import SourceId

CAP = 70
SIZE = Size(products=60, vendors=12, customers=4, purchase_orders=60, sales_orders=30)
CREDENTIALS = {"api_key": "key", "api_secret": "secret"}
ORDERS = ("purchase_orders",)


@pytest.fixture
async def pipeline(database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Pipeline]:
    """Where an answer of 70 records is one that was cut."""
    registry = Registry([FinaleConnector(cap=CAP)])
    async with running_pipeline(database_url, redis_url, redis_prefix, registry=registry) as running_one:
        yield running_one


async def add(pipeline: Pipeline, url: str) -> SourceId:
    config = {"account": "acme", "base_url": url, "time_zone": "America/New_York"}
    return await pipeline.add_source(config, CREDENTIALS, source_type="finale_inventory")


async def check(pipeline: Pipeline, source: SourceId, state: FinaleState) -> None:
    assert_equal("purchase_orders", await stored(pipeline, "purchase_orders", source), TRUTHS["purchase_orders"](state))


@pytest.mark.parametrize("most_rows", [None, 7], ids=["whole pages", "short pages"])
async def test_orders_beyond_the_cap_are_read_by_graphql_with_every_field(
    pipeline: Pipeline, most_rows: int | None
) -> None:
    state = FinaleState(filling(SIZE), switches=Switches(collection_cap=CAP, graphql_most_rows=most_rows))
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)

        view = await pipeline.sync(source, entities=ORDERS)

        assert view.status == "succeeded", view
        assert view.entities["purchase_orders"].inserted == 60
        await check(pipeline, source, state)
        queries = [one for one in state.arrivals if one.path == "/acme/api/graphql"]
        assert len(queries) == -(-60 // (most_rows or 50))
        assert {one.method for one in queries} == {"POST"}
        assert view.api_calls == len(state.arrivals) == 1 + len(queries)


async def test_a_later_run_of_such_an_account_reads_all_orders_again(pipeline: Pipeline) -> None:
    """What changed cannot be told there: shipments are beyond the cap too."""
    state = FinaleState(filling(SIZE), switches=Switches(collection_cap=CAP))
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)
        assert (await pipeline.sync(source, entities=ORDERS)).status == "succeeded"
        state.switches = Switches(collection_cap=CAP)
        locked = [one for one in state.records("order") if one["statusId"] == "ORDER_LOCKED"]
        order = next(one for one in locked if one["orderTypeId"] == "PURCHASE_ORDER")
        line = next(one for one in order["orderItemList"] if "productUrl" in one)
        state.receive(order["orderUrl"], {line["productUrl"]: line["quantity"]})
        for other in [one for one in state.records("order") if one["orderTypeId"] == "SALES_ORDER"]:
            for _ in range(4):  # more shipments than an answer holds
                state.shipments.create({"primaryOrderUrl": other["orderUrl"], "shipmentItemList": []})

        view = await pipeline.sync(source, entities=ORDERS)

        assert view.status == "succeeded", view
        counted = view.entities["purchase_orders"]
        assert (counted.read, counted.updated, counted.deleted) == (60, 1, 0)
        await check(pipeline, source, state)


async def test_orders_that_are_made_between_two_pages_move_none_away(pipeline: Pipeline) -> None:
    """An offset shifts when an order comes that sorts before it: others are met twice, and none is passed over."""
    state = FinaleState(filling(SIZE), switches=Switches(collection_cap=CAP, graphql_most_rows=3))
    before = TRUTHS["purchase_orders"](state)

    async def queries() -> int:
        return sum(one.path == "/acme/api/graphql" for one in state.arrivals)

    async with running(build_app(state)) as url:
        source = await add(pipeline, url)
        run = await pipeline.ask(source, entities=ORDERS)
        await eventually(queries, lambda count: count >= 2, within=20)
        made = [state.create_order("PURCHASE_ORDER", orderId=f"0{number}") for number in range(4)]

        view = await pipeline.finish(run)

        assert view.status == "succeeded", view
        rows = await stored(pipeline, "purchase_orders", source)
        assert_equal("purchase_orders", {key: row for key, row in rows.items() if key not in made}, before)
        assert 1 <= view.entities["purchase_orders"].duplicates <= 4


async def test_formatted_values_are_read_exactly(pipeline: Pipeline) -> None:
    def fill(state: FinaleState) -> None:
        bolt = state.add_product("BOLT-1")
        lines = [{"productUrl": bolt, "quantity": 1_234_567, "unitPrice": Decimal("1.2300000000000000009")}]
        url = state.create_order(orderItemList=lines, orderAdjustmentList=[{"amount": Decimal("-0.10")}])
        state.act(url, "lock")
        for _ in range(CAP):
            state.create_order("SALES_ORDER")

    state = FinaleState(fill, switches=Switches(collection_cap=CAP))
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)

        assert (await pipeline.sync(source, entities=ORDERS)).status == "succeeded"
        await check(pipeline, source, state)
