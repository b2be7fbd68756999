"""A Finale account's runs from asking to rows: every field of every row against the shop's own state."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from finale_truth import TRUTHS, assert_equal, stored

from pipeline import Pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.contracts.ids import SourceId

CREDENTIALS = {"api_key": "key", "api_secret": "secret"}
SMALL = Size(products=60, vendors=12, customers=4, purchase_orders=30, sales_orders=8)


def config(url: str, **more: Any) -> dict[str, Any]:
    return {"account": "acme", "base_url": url, "time_zone": "America/New_York"} | more


async def add(pipeline: Pipeline, url: str, **more: Any) -> SourceId:
    return await pipeline.add_source(config(url, **more), CREDENTIALS, source_type="finale_inventory")


async def check_all(pipeline: Pipeline, source: SourceId, state: FinaleState) -> None:
    for entity, truth in TRUTHS.items():
        assert_equal(entity, await stored(pipeline, entity, source), truth(state))


async def test_every_field_of_a_first_sync_is_as_the_shop_has_it(pipeline: Pipeline) -> None:
    state = FinaleState(filling())
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)

        view = await pipeline.sync(source)

        assert view.status == "succeeded", view
        assert {entity: counted.inserted for entity, counted in view.entities.items()} == {
            "inventory": 500,
            "vendors": 60,
            "purchase_orders": 80,
        }
        await check_all(pipeline, source, state)
        assert view.api_calls == len(state.arrivals) == 3 + 1 + 3 + 80
        assert all(arrival.status == 200 for arrival in state.arrivals)
        statuses = {row["status"] for row in await pipeline.rows("purchase_orders", source)}
        assert statuses == {"draft", "submitted", "partially_received", "received", "cancelled"}
        products = await pipeline.rows("inventory", source)
        assert {row["status"] for row in products} == {"active", "inactive"}
        # a bin, no stock, one warehouse, and more than one
        assert {"BIN-5", None, "Warehouse 1", "Warehouse 2, Warehouse 3"} <= {row["location"] for row in products}
        assert not any("stockLocations" in row["extra"] for row in products), "they would grow old there"


@pytest.mark.parametrize(
    "switches",
    [
        Switches(order_lines_in_collection=True),
        Switches(quantities_as_text=True, stock_parents=True),
        Switches(party_name="description"),
        Switches(missing_upper_bound="refused", status_by_post=False),
        Switches(limit_applied="before_filter", empty_collection="arrays"),
        Switches(unreachable_products=frozenset({"BOLT-1", "KIT 2"})),
    ],
    ids=["lines", "texts", "description", "refused", "arrays", "unreachable"],
)
async def test_each_way_that_finale_may_answer_gives_the_same_rows(pipeline: Pipeline, switches: Switches) -> None:
    state = FinaleState(filling(SMALL), switches=switches)
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)

        assert (await pipeline.sync(source)).status == "succeeded"
        await check_all(pipeline, source, state)
        assert (await pipeline.sync(source)).status == "succeeded"
        await check_all(pipeline, source, state)


async def test_a_shop_without_records_is_a_success_once_and_a_failure_later(pipeline: Pipeline) -> None:
    state = FinaleState()
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)
        assert (await pipeline.sync(source)).status == "succeeded"
        state.add_product("A")
        assert (await pipeline.sync(source)).entities["inventory"].inserted == 1
        state.store.clear()

        view = await pipeline.sync(source, mode="full")

        assert view.entities["inventory"].status == "failed"
        assert len(await pipeline.rows("inventory", source)) == 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_an_incremental_run_after_edits_equals_a_fresh_full_one(pipeline: Pipeline, seed: int) -> None:
    chance = random.Random(seed)

    def past(state: FinaleState) -> None:
        state.clock.advance(timedelta(days=-45))
        filling(SMALL, seed=seed)(state)

    state = FinaleState(past)
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)
        assert (await pipeline.sync(source)).status == "succeeded"
        for days in (0, 2, 40):  # the last needs more than one window
            state.clock.advance(timedelta(days=days))
            live_a_day(state, chance)
            before = len(state.arrivals)

            view = await pipeline.sync(source)

            assert view.status == "succeeded", view
            assert view.entities["purchase_orders"].deleted == 0
            await check_all(pipeline, source, state)
            singles = [one for one in state.arrivals[before:] if "/api/order/1" in one.path]
            assert len(singles) < 25, "an incremental run reads what changed, not everything"

        state.switches = Switches(order_lines_in_collection=True)  # the minute's calls are spent by now
        fresh = await add(pipeline, url)
        assert (await pipeline.sync(fresh)).status == "succeeded"
        for entity in TRUTHS:
            ours, theirs = await stored(pipeline, entity, source), await stored(pipeline, entity, fresh)
            assert_equal(entity, ours, theirs)


def live_a_day(state: FinaleState, chance: random.Random) -> None:
    """Edits of every kind, some of which stamp nothing."""
    products = [product["productUrl"] for product in state.records("product")]
    places = [place["facilityUrl"] for place in state.records("facility") if place["parentFacilityUrl"]]
    active = [one["productUrl"] for one in state.records("product") if one["statusId"] == "PRODUCT_ACTIVE"]
    # stock alone: no product is stamped by that
    for _ in range(5):
        state.add_stock(chance.choice(products), chance.choice(places), Decimal(chance.randint(-50, 50)) / 8)
    name = f"NEW {state.store.version}"
    live_a_day_in_the_warehouse(state, chance, places, name)
    state.deactivate_product(chance.choice(active))
    new = state.add_product(name, internalName="New thing", cost=Decimal("1.50"))
    state.edit_product(chance.choice(products), internalName=f"Renamed {name}", leadTime=chance.randint(1, 9))
    state.edit_product(new, productId=f"{name} B")  # the address stays
    supplier = state.add_party(f"Supplier {name}", settlementTermId="NET_30")
    state.edit_party(supplier, statusId="PARTY_DISABLED")
    party = state.store.get("partygroup", supplier)["partyId"]
    lines = [
        {"productUrl": url, "quantity": chance.randint(2, 40), "unitPrice": Decimal(chance.randint(1, 999)) / 100}
        for url in (new, chance.choice(products), new)
    ]
    order = state.create_order(orderRoleList=[{"roleTypeId": "SUPPLIER", "partyId": party}], orderItemList=lines)
    state.edit_order(order, orderAdjustmentList=[{"amount": Decimal("-2.25"), "description": "Discount"}])
    state.act(order, "lock")
    state.receive(order, {new: 3})
    # receiving what was planned long ago stamps the shipment, and not the order
    planned = [one for one in state.records("shipment") if one["statusId"] == "SHIPMENT_INPUT"]
    purchases = [one for one in planned if one["shipmentTypeId"] == "PURCHASE_SHIPMENT"]
    if purchases:
        state.shipments.act(chance.choice(purchases)["shipmentUrl"], "receive")
    by_status = {
        status: [
            one["orderUrl"]
            for one in state.records("order")
            if one["statusId"] == status and one["orderTypeId"] == "PURCHASE_ORDER"
        ]
        for status in ("ORDER_CREATED", "ORDER_LOCKED", "ORDER_COMPLETED")
    }
    if by_status["ORDER_CREATED"]:
        state.act(chance.choice(by_status["ORDER_CREATED"]), "lock")
    state.act(chance.choice([one for one in by_status["ORDER_LOCKED"] if one != order]), "cancel")
    state.act(order, "complete")
    state.act(chance.choice(by_status["ORDER_COMPLETED"]), "edit")


def live_a_day_in_the_warehouse(state: FinaleState, chance: random.Random, places: list[str], name: str) -> None:
    """A place is given up, one renamed, one made; stock moves there, and to where no sublocation is."""
    given_up, renamed = chance.sample(places, 2)
    state.catalog.edit("facility", given_up, statusId="FACILITY_INACTIVE")
    location = str(state.store.get("facility", renamed)["parentFacilityUrl"])
    state.catalog.edit("facility", location, facilityName=f"Depot {name}")
    made = state.add_facility(f"Yard {name}")
    for target in (made, state.add_facility("R1", made)):
        moving = chance.choice(list(state.store.on_hand))
        quantity = state.store.on_hand[moving]
        state.store.add_stock(moving, -quantity)
        state.add_stock(moving.product_url, target, quantity, lot_id=moving.lot_id)


async def test_an_address_that_is_not_made_of_the_id_is_followed(pipeline: Pipeline) -> None:
    """Orders name their supplier by id; a supplier whose address differs from it keeps its own."""
    state = FinaleState(filling(SMALL))
    party = next(one for one in state.records("partygroup") if "SUPPLIER" in one["roleTypeIdList"])
    order = next(one for one in state.records("order") if one["orderTypeId"] == "PURCHASE_ORDER")
    state.store.rows["partygroup"][party["partyGroupUrl"]] = {**party, "partyId": "RENAMED"}
    state.edit_order(order["orderUrl"], orderRoleList=[{"roleTypeId": "SUPPLIER", "partyId": "RENAMED"}])
    for other in state.records("order"):
        roles = [
            {**role, "partyId": "RENAMED"} if role["partyId"] == party["partyId"] else role
            for role in other["orderRoleList"]
        ]
        state.store.rows["order"][other["orderUrl"]] = {**other, "orderRoleList": roles}
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)

        assert (await pipeline.sync(source)).status == "succeeded"

        rows = {row["external_id"]: row for row in await pipeline.rows("purchase_orders", source)}
        assert rows[order["orderUrl"]]["vendor_id"] == party["partyGroupUrl"]
        await check_all(pipeline, source, state)


async def test_an_order_without_an_address_is_quarantined_and_its_row_stays(pipeline: Pipeline) -> None:
    state = FinaleState(filling(SMALL))
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)
        assert (await pipeline.sync(source)).status == "succeeded"
        victim = next(one for one in state.records("order") if one["orderTypeId"] == "PURCHASE_ORDER")["orderUrl"]
        state.behaviour.faults.set(FaultRule(kind="status", status=404, path=victim))

        view = await pipeline.sync(source, mode="full")

        assert view.status == "partial"
        assert view.entities["purchase_orders"].quarantined == 1
        assert view.entities["purchase_orders"].deleted == 0
        await check_all(pipeline, source, state)


async def test_no_filter_is_sent_for_a_first_read_and_windows_for_a_later_one(pipeline: Pipeline) -> None:
    state = FinaleState(filling(SMALL), switches=Switches(order_lines_in_collection=True))
    async with running(build_app(state)) as url:
        source = await add(pipeline, url)
        await pipeline.sync(source, entities=("purchase_orders",))
        first = [one.path for one in state.arrivals if one.path.startswith("/acme/api/order/")]
        assert first == ["/acme/api/order/"]

        await pipeline.sync(source, entities=("purchase_orders",))

        later = [one.path for one in state.arrivals if one.path.startswith("/acme/api/order/")][1:]
        assert len(later) == 1
        assert "filter=" in later[0]
