"""Column-major collections, single records, and `filter` and `limit` of the Finale sandbox."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from finale_client import encoded, rows_of, serving, small_shop

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.server import Behaviour
from sandboxes.finale.columns import columns
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.store import parse_instant
from sandboxes.finale.switches import Switches

COLLECTIONS = {
    "product": "productUrl",
    "order": "orderUrl",
    "partygroup": "partyGroupUrl",
    "facility": "facilityUrl",
    "shipment": "shipmentUrl",
    "customization": "customizationUrl",
}


async def test_collections_are_columns_and_records_are_rows_at_their_own_address() -> None:
    state = FinaleState(filling(Size(products=60, purchase_orders=30)))
    async with serving(state) as client:
        for resource, address in COLLECTIONS.items():
            found = await client.get(f"{resource}/")
            rows = rows_of(found)
            assert [row[address] for row in rows] == [row[address] for row in state.records(resource)]  # type: ignore[arg-type]
            assert all(any(value is not None for value in column) for column in found.values())
            for row in rows[:8]:
                single = await client.get(row[address])
                shown = {name: value for name, value in row.items() if value is not None}
                assert shown == {name: single[name] for name in shown}
                extra = {name for name in single if single[name] not in (None, [])} - shown.keys()
                assert extra <= {"orderItemList"}
            state.rates.clear()
        assert await client.rows("inventoryitem/") == state.stock()


async def test_columns_that_no_row_uses_are_left_out_and_lists_are_filled() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        found = await client.get("product/")
        assert found["productId"] == ["BOLT-1", "KIT 9/ä"]
        assert found["leadTime"] == [14, None]
        assert found["supplierList"][1] == []
        assert found["actionUrlDeactivate"] == [f"{shop.bolt}/deactivate", f"{shop.kit}/deactivate"]
        assert not {"actionUrlActivate", "userCategory", "cost"} & found.keys()
        shop.state.deactivate_product(shop.kit)
        found = await client.get("product/")
        assert found["actionUrlActivate"] == [None, f"{shop.kit}/activate"]
        assert found["statusId"] == ["PRODUCT_ACTIVE", "PRODUCT_INACTIVE"]


async def test_a_facility_is_a_location_or_a_sublocation_of_one_and_stays_when_given_up() -> None:
    shop = small_shop()
    location = shop.state.records("facility")[0]["facilityUrl"]
    shop.state.catalog.edit("facility", shop.bins[1], statusId="FACILITY_INACTIVE")
    async with serving(shop.state) as client:
        found = await client.get("facility/")
        assert found["facilityUrl"] == [location, *shop.bins]
        assert found["facilityName"] == ["Main", "M-01", "M-02"]
        assert found["parentFacilityUrl"] == [None, location, location]
        assert found["statusId"] == ["FACILITY_ACTIVE", "FACILITY_ACTIVE", "FACILITY_INACTIVE"]
        shop.state.add_stock(shop.bolt, shop.bins[1], 7)
        assert "parentFacilityUrl" not in await client.get("inventoryitem/")
        shop.state.switches = Switches(stock_parents=True)
        assert set((await client.get("inventoryitem/"))["parentFacilityUrl"]) == {location}


def test_a_missing_list_is_empty_and_a_column_of_nulls_is_none_at_all() -> None:
    rows = [{"a": 1, "empty": None, "list": [2]}, {"a": None, "empty": None}, {"late": "x", "list": []}]
    assert columns(rows) == {"a": [1, None, None], "list": [[2], [], []], "late": [None, None, "x"]}
    assert columns([]) == {}


async def test_numbers_keep_their_digits_and_times_have_no_zone() -> None:
    shop = small_shop()
    with shop.state.clock.at(datetime(2026, 1, 15, 2, 30, 5, tzinfo=UTC)):
        shop.state.edit_product(shop.bolt, cost=1)
    async with serving(shop.state) as client:
        answer = await client.call("GET", "/acme/api/product/")
        assert b'"price":0.450,' in answer.body
        row = rows_of(answer.json)[0]
        assert row["lastUpdatedDate"] == "2026-01-14T21:30:05"  # New York is five hours behind in winter


async def test_addresses_come_from_the_record_and_some_skus_cannot_be_read() -> None:
    shop = small_shop()
    assert shop.kit == "/acme/api/product/KIT%209%2F%C3%A4"
    async with serving(shop.state) as client:
        assert (await client.get(shop.kit))["productId"] == "KIT 9/ä"
        shop.state.edit_product(shop.bolt, productId="BOLT-2")
        assert (await client.get(shop.bolt))["productId"] == "BOLT-2"  # renamed, still at its first address
        assert (await client.call("GET", "/acme/api/product/BOLT-2")).status == 404
        shop.state.switches = Switches(unreachable_products=frozenset({"BOLT-2"}))
        answer = await client.call("GET", shop.bolt)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert len(await client.rows("product")) == 2
        assert (await client.get(shop.kit))["productUrl"] == shop.kit


async def test_a_shipments_label_is_no_address_and_its_order_number_leads_astray() -> None:
    async with serving(FinaleState(filling())) as client:
        rows = await client.rows("shipment/")
        assert all(row["shipmentUrl"].rpartition("/")[2] != row["shipmentId"] for row in rows)
        astray = 0
        for row in rows[:40]:
            assert (await client.call("GET", f"/acme/api/shipment/{row['shipmentId']}")).status == 404
            answer = await client.call("GET", f"/acme/api/shipment/{row['shipmentId'].partition('-')[0]}")
            astray += answer.status == 200 and answer.json["shipmentId"] != row["shipmentId"]
        assert astray > 5


async def test_filter_by_equality_range_and_both() -> None:
    state = FinaleState(filling())
    orders = state.records("order")
    async with serving(state) as client:

        async def ids(content: Any) -> set[str]:
            return {row["orderId"] for row in await client.rows(f"order/?filter={encoded(content)}")}

        purchases = {"orderTypeId": ["PURCHASE_ORDER", "PURCHASE_ORDER"]}
        assert await ids(purchases) == {o["orderId"] for o in orders if o["orderTypeId"] == "PURCHASE_ORDER"}
        locked = {**purchases, "statusId": ["ORDER_LOCKED", "ORDER_LOCKED"]}
        expected = {
            *(o["orderId"] for o in orders if (o["orderTypeId"], o["statusId"]) == ("PURCHASE_ORDER", "ORDER_LOCKED"))
        }
        assert await ids(locked) == expected
        assert len(expected) > 5
        assert await ids({"statusId": ["ORDER_LOCKED", "ORDER_COMPLETED"]}) == set()  # reversed as text
        assert await ids({"orderId": ["10050", None]}) == {o["orderId"] for o in orders if o["orderId"] >= "10050"}
        begin, end = orders[20]["lastUpdatedDate"], orders[25]["lastUpdatedDate"]
        if begin > end:
            begin, end = end, begin
        window = {"lastUpdatedDate": [begin, end]}
        expected = {o["orderId"] for o in orders if begin <= o["lastUpdatedDate"] <= end}
        assert await ids(window) == expected >= {orders[20]["orderId"], orders[25]["orderId"]}  # closed at both ends
        bought = {o["orderId"] for o in orders if o["orderTypeId"] == "PURCHASE_ORDER"}
        assert await ids({**window, **purchases}) == expected & bought
        assert await ids({"orderItemListTotal": [100, 5000]}) == {
            o["orderId"] for o in orders if 100 <= o["orderItemListTotal"] <= 5000
        }


async def test_the_worked_examples_and_line_ends_within_base64() -> None:
    state = FinaleState(filling())
    purchases = len([order for order in state.records("order") if order["orderTypeId"] == "PURCHASE_ORDER"])
    text = "eyJvcmRlclR5cGVJZCI6WyJQVVJDSEFTRV9PUkRFUiIsIlBVUkNIQVNFX09SREVSIl19"
    async with serving(state) as client:
        assert len(await client.rows(f"order/?filter={text}")) == purchases
        assert len(await client.rows(f"order/?filter={text[:60]}%0A{text[60:]}%0A")) == purchases
        dates = "eyJsYXN0VXBkYXRlZERhdGUiOlsiMjAyNi0wNS0wMVQwMDowMDowMCIsIjIwMjYtMDUtMjBUMDA6MDA6MDAiXX0="
        assert (await client.call("GET", f"/acme/api/order/?filter={dates}")).status == 200


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"lastUpdatedDate": [None, "2026-05-01T00:00:00"]}, "lower bound"),
        ({"lastUpdatedDate": ["2026-04-01T00:00:00", "2026-05-01T00:00:01"]}, "30 days"),
        ({"lastUpdatedDate": ["2020-04-01T00:00:00", None]}, "30 days"),
        ({"lastUpdatedDate": ["2026-04-01", "2026-04-02"]}, "YYYY-MM-DD"),
        ({"statusId": "ORDER_LOCKED"}, "statusId"),
        ({"orderItemList": [[], []]}, "orderItemList"),
        (["x"], "object"),
    ],
)
async def test_a_filter_that_breaks_a_rule_is_400(content: Any, word: str) -> None:
    async with serving(small_shop().state) as client:
        answer = await client.call("GET", f"/acme/api/order/?filter={encoded(content)}")
        assert answer.status == 400
        assert word in answer.text
        assert (await client.call("GET", "/acme/api/order/?filter=%7B%7D")).status == 400  # not base64


async def test_30_days_are_allowed_and_a_missing_upper_bound_is_now_or_refused() -> None:
    shop = small_shop()
    now = parse_instant(shop.state.store.stamp())
    assert now is not None
    async with serving(shop.state) as client:

        async def status(lower: datetime, upper: datetime | None) -> int:
            bounds = [lower.isoformat(), None if upper is None else upper.isoformat()]
            path = f"/acme/api/product/?filter={encoded({'lastUpdatedDate': bounds})}"
            return (await client.call("GET", path)).status

        assert await status(now - timedelta(days=30), now) == 200
        assert await status(now - timedelta(days=30, seconds=1), now) == 400
        assert await status(now - timedelta(days=29), None) == 200
        shop.state.switches = Switches(missing_upper_bound="refused")
        assert await status(now - timedelta(days=29), None) == 400


@pytest.mark.parametrize(
    "query", ["type=x", "orderTypeId=SALES_ORDER", "status=x", "role=SUPPLIER", "sku=x", "offset=50"]
)
async def test_plain_parameters_are_ignored(query: str) -> None:
    state = FinaleState(filling(Size(products=20, purchase_orders=20)))
    async with serving(state) as client:
        assert len(await client.rows(f"order/?{query}")) == len(state.records("order")) == 40


async def test_limit_after_or_before_the_filter() -> None:
    state = FinaleState(filling())
    sales = encoded({"orderTypeId": ["SALES_ORDER", "SALES_ORDER"]})
    async with serving(state) as client:
        assert len(await client.rows(f"order/?limit=3&filter={sales}")) == 3
        assert [row["orderId"] for row in await client.rows("order/?limit=2")] == ["10001", "10002"]
        state.switches = Switches(limit_applied="before_filter")
        assert await client.get(f"order/?limit=3&filter={sales}") == {}  # the oldest three are purchases
        assert len(await client.rows(f"order/?limit=10&filter={sales}")) == 2


async def test_stock_takes_no_filter() -> None:
    state = FinaleState(filling(Size(products=30)))
    async with serving(state) as client:
        none = encoded({"productId": ["x", "x"]})
        assert len(await client.rows(f"inventoryitem/?filter={none}")) == len(state.stock())
        assert len(await client.rows("inventoryitem/?limit=5")) == 5


async def test_an_empty_collection_and_the_name_of_a_party() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        assert await client.get("shipment/") == {}
        assert (await client.get("partygroup/"))["groupName"] == ["Bolt Works"]
        shop.state.switches = Switches(empty_collection="arrays", party_name="description")
        assert await client.get("shipment/") == {"shipmentUrl": []}
        found = await client.get("partygroup/")
        assert found["description"] == ["Bolt Works"]
        assert "groupName" not in found
        assert (await client.get(shop.supplier))["groupName"] == "Bolt Works"


async def test_at_most_120000_rows_and_other_filters_look_no_further() -> None:
    state = FinaleState(filling(Size(products=50, stock_rows=120_050)), behaviour=Behaviour(Auth()))
    assert len(state.stock()) > 120_050
    async with serving(state) as client:
        found = await client.get("inventoryitem/")
        assert {len(column) for column in found.values()} == {120_000}
        state.switches = Switches(collection_cap=20)
        orders = state.records("order")
        assert len(await client.rows("order/")) == 20
        content = {"orderId": [orders[30]["orderId"], orders[30]["orderId"]]}
        assert await client.get(f"order/?filter={encoded(content)}") == {}
        updated = orders[30]["lastUpdatedDate"]
        narrowed = encoded({**content, "lastUpdatedDate": [updated, updated]})
        assert len(await client.rows(f"order/?filter={narrowed}")) == 1  # lastUpdatedDate goes before the cap
