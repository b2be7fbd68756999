"""Writing to the Finale sandbox: orders and their states, receipts, products, stock."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from finale_client import Client, serving, small_shop

from sandboxes.finale.orders import ORDER_ACTIONS
from sandboxes.finale.store import RefusedError
from sandboxes.finale.switches import Switches

PRICE = Decimal("0.210")


def actions_of(record: dict[str, Any]) -> set[str]:
    return {name for name in record if name.startswith("actionUrl")}


async def test_a_created_order_is_answered_in_full() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        lines = [
            {"productUrl": shop.bolt, "quantity": 500, "unitPrice": PRICE},
            {"productUrl": "/acme/api/product/WRONG", "quantity": 3, "unitPrice": 1},
        ]
        body = (
            b'{"orderTypeId":"PURCHASE_ORDER","dueDate":"2026-07-01T00:00:00","nonsense":1,"orderItemList":['
            b'{"productUrl":"/acme/api/product/BOLT-1","quantity":500,"unitPrice":0.210},'
            b'{"productUrl":"/acme/api/product/WRONG","quantity":3,"unitPrice":1}]}'
        )
        answer = await client.call("POST", "/acme/api/order/", body)
        assert answer.status == 200
        order = answer.json
        assert order["orderUrl"] == f"/acme/api/order/{order['orderId']}"
        assert (order["statusId"], order["dueDate"]) == ("ORDER_CREATED", "2026-07-01T00:00:00")
        assert "nonsense" not in order
        good, bad = order["orderItemList"]
        assert good["orderItemUrl"].startswith(order["orderUrl"])
        assert {name: good[name] for name in lines[0]} == lines[0]
        assert b'"unitPrice":0.210' in answer.body
        # an address that leads nowhere is no error: the line is there, without its product
        assert (bad["quantity"], "productUrl" in bad, "productId" in bad) == (3, False, False)
        assert order["orderItemListTotal"] == 500 * PRICE + 3
        assert isinstance(order["statusIdHistoryList"][0]["txStamp"], int)
        assert await client.get(order["orderUrl"]) == order


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "orderTypeId"),
        ({"orderTypeId": "PURCHASE_ORDER", "orderId": "x" * 21}, "orderId"),
        ({"orderTypeId": "PURCHASE_ORDER", "orderItemList": [{"quantity": "5"}]}, "quantity"),
        ({"orderTypeId": "PURCHASE_ORDER", "orderItemList": {}}, "list"),
        ({"orderTypeId": "PURCHASE_ORDER", "orderRoleList": ["x"]}, "orderRoleList"),
        (b"[1]", "object"),
        (b"{", "JSON"),
    ],
)
async def test_a_bad_order_is_refused(body: Any, word: str) -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        answer = await client.post("order/", body)
        assert answer.status == 400
        assert word in answer.text
        assert shop.state.records("order") == []


async def test_an_order_id_is_unique_over_all_types() -> None:
    async with serving(small_shop().state) as client:
        assert (await client.post("order/", {"orderTypeId": "PURCHASE_ORDER", "orderId": "A1"})).status == 200
        assert (await client.post("order/", {"orderTypeId": "SALES_ORDER", "orderId": "A1"})).status == 400


async def test_action_addresses_follow_the_state() -> None:
    shop = small_shop()
    url = shop.order((shop.bolt, 10, PRICE))
    async with serving(shop.state) as client:

        async def offered() -> set[str]:
            return actions_of(await client.get(url))

        async def act(action: str) -> int:
            return (await client.post(f"{url}/{action}")).status

        assert await offered() == {"actionUrlLock", "actionUrlComplete", "actionUrlCancel"}
        assert await act("edit") == 400
        assert await act("lock") == 200
        assert await offered() == {"actionUrlComplete", "actionUrlCancel", "actionUrlEdit"}
        assert await act("lock") == 400
        assert await act("complete") == 200  # though nothing was received
        assert await offered() == {"actionUrlEdit"}
        assert await act("cancel") == 400
        assert await act("edit") == 200
        assert await act("cancel") == 200
        assert await offered() == set()
        assert [await act(action) for action in ORDER_ACTIONS] == [400] * 4
        assert await act("nonsense") == 404
        history = [entry["statusId"] for entry in (await client.get(url))["statusIdHistoryList"]]
        assert history == ["ORDER_CREATED", "ORDER_LOCKED", "ORDER_COMPLETED", "ORDER_CREATED", "ORDER_CANCELLED"]


async def test_lines_change_in_a_draft_only() -> None:
    shop = small_shop()
    url = shop.order((shop.bolt, 10, PRICE))
    async with serving(shop.state) as client:
        order = await client.get(url)
        more = {**order, "orderItemList": [{**order["orderItemList"][0], "quantity": 11}]}
        assert (await client.post(url, more)).json["orderItemList"][0]["quantity"] == 11
        line = (await client.get(url))["orderItemList"][0]
        assert line["orderItemUrl"] == order["orderItemList"][0]["orderItemUrl"]
        shop.state.act(url, "lock")
        whole = await client.get(url)
        assert (await client.post(url, {"orderItemList": []})).status == 400
        assert (await client.post(url, {**whole, "publicNotes": "soon"})).json["publicNotes"] == "soon"
        shop.state.act(url, "complete")
        assert (await client.post(url, {"publicNotes": "late"})).status == 400
        shop.state.act(url, "edit")
        assert (await client.post(url, {"orderItemList": []})).json["orderItemListTotal"] == 0
        shop.state.act(url, "cancel")
        assert (await client.post(url, {"publicNotes": "x"})).status == 400


async def test_a_legal_change_of_status_by_post_is_obeyed() -> None:
    shop = small_shop()
    url = shop.order((shop.bolt, 10, PRICE))
    async with serving(shop.state) as client:

        async def status_after(status: str) -> tuple[int, str]:
            answer = await client.post(url, {**await client.get(url), "statusId": status})
            return answer.status, (await client.get(url))["statusId"]

        assert await status_after("ORDER_LOCKED") == (200, "ORDER_LOCKED")
        assert await status_after("ORDER_NONSENSE") == (400, "ORDER_LOCKED")
        assert await status_after("ORDER_CREATED") == (200, "ORDER_CREATED")
        assert await status_after("ORDER_CANCELED") == (200, "ORDER_CANCELLED")  # taken with one L, written with two
        assert await status_after("ORDER_LOCKED") == (400, "ORDER_CANCELLED")
        url = shop.order()
        shop.state.switches = Switches(status_by_post=False)
        assert await status_after("ORDER_LOCKED") == (200, "ORDER_CREATED")


async def test_lines_are_in_the_collection_only_with_the_switch() -> None:
    shop = small_shop()
    shop.order((shop.bolt, 10, PRICE))
    async with serving(shop.state) as client:
        assert "orderItemList" not in await client.get("order/")
        shop.state.switches = Switches(order_lines_in_collection=True)
        assert (await client.get("order/"))["orderItemList"][0][0]["quantity"] == 10


async def stock(client: Client) -> list[tuple[Any, ...]]:
    names = ("productUrl", "facilityUrl", "orderUrl", "lotId", "quantityOnHand", "quantityOnOrder", "quantityReserved")
    return [tuple(row.get(name) for name in names) for row in await client.rows("inventoryitem/")]


async def test_stock_follows_committed_orders_and_receipts() -> None:
    shop = small_shop()
    state, (first, second) = shop.state, shop.bins
    state.add_stock(shop.bolt, first, 100)
    state.add_stock(shop.bolt, second, Decimal("20.50"))
    bought = shop.order((shop.bolt, 300, PRICE), (shop.bolt, 200, PRICE), (shop.kit, 5, 1))
    sale = [{"productUrl": shop.bolt, "quantity": 30}]
    sold = state.create_order("SALES_ORDER", originFacilityUrl=shop.location, orderItemList=sale)
    hand = [(shop.bolt, first, None, None, 100, 0, 0), (shop.bolt, second, None, None, Decimal("20.50"), 0, 0)]
    async with serving(state) as client:
        assert await stock(client) == hand  # drafts do not count
        state.act(bought, "lock")
        state.act(sold, "lock")
        assert await stock(client) == [
            *hand,
            (shop.bolt, first, bought, None, 0, 500, 0),
            (shop.kit, first, bought, None, 0, 5, 0),
            (shop.bolt, first, sold, None, 0, 0, 30),
        ]
        receipt = await client.get(state.receive(bought, {shop.bolt: 120, shop.kit: 5}, lot_id="L_1"))
        assert (receipt["statusId"], receipt["shipmentTypeId"]) == ("SHIPMENT_DELIVERED", "PURCHASE_SHIPMENT")
        assert receipt["receiveDate"]
        assert await stock(client) == [
            *hand,
            (shop.bolt, first, None, "L_1", 120, 0, 0),
            (shop.kit, first, None, "L_1", 5, 0, 0),
            (shop.bolt, first, bought, None, 0, 380, 0),
            (shop.bolt, first, sold, None, 0, 0, 30),
        ]
        state.act(bought, "complete")
        state.act(sold, "cancel")
        assert len(await stock(client)) == 4
        state.add_stock(shop.kit, first, -2)
        assert (shop.kit, first, None, None, -2, 0, 0) in await stock(client)
        state.switches = Switches(quantities_as_text=True)
        assert (await client.rows("inventoryitem/"))[1]["quantityOnHand"] == "20.50"


async def test_shipments_over_http() -> None:
    shop = small_shop()
    url = shop.order((shop.bolt, 10, PRICE))
    shop.state.act(url, "lock")
    async with serving(shop.state) as client:
        items = [{"productUrl": shop.bolt, "quantity": 4}]
        made = (await client.post("shipment/", {"primaryOrderUrl": url, "shipmentItemList": items})).json
        assert made["shipmentId"] == f"{url.rpartition('/')[2]}-1"
        assert actions_of(made) == {"actionUrlReceive", "actionUrlCancel"}
        assert (await client.post(made["actionUrlReceive"])).json["statusId"] == "SHIPMENT_DELIVERED"
        assert (await client.post(made["actionUrlReceive"])).status == 400
        assert (await client.post("shipment/", {"primaryOrderUrl": "/x"})).status == 400
        opened = (await client.post("shipment/", {"primaryOrderUrl": url, "shipmentItemList": items})).json
        await client.post(f"{url}/cancel")
        states = [row["statusId"] for row in await client.rows("shipment/")]
        assert states == ["SHIPMENT_DELIVERED", "SHIPMENT_CANCELLED"]  # open ones are cancelled with the order
        assert (await client.get(url))["shipmentUrlList"] == [made["shipmentUrl"], opened["shipmentUrl"]]

        sold = shop.state.create_order("SALES_ORDER", originFacilityUrl=shop.location, orderItemList=items)
        out = (await client.post("shipment/", {"primaryOrderUrl": sold, "shipmentItemList": items})).json
        for action in ("pack", "unpack", "pack", "ship"):
            assert (await client.post(f"{out['shipmentUrl']}/{action}")).status == 200
        assert await stock(client) == []  # four came, four went


async def test_products_parties_and_stock_changes_are_written() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        made = (await client.post("product/", {"productId": "NEW", "internalName": "New", "x": 1})).json
        assert (made["productUrl"], made["statusId"]) == ("/acme/api/product/NEW", "PRODUCT_ACTIVE")
        assert "x" not in made
        assert (await client.post("product/", {"productId": "NEW"})).status == 400
        assert (await client.post("product/", {})).status == 400
        changed = (await client.post(made["productUrl"], {**made, "userCategory": "Kits"})).json
        assert changed["userCategory"] == "Kits"
        assert (await client.post(made["actionUrlDeactivate"], {})).json["statusId"] == "PRODUCT_INACTIVE"
        assert (await client.post(made["actionUrlDeactivate"], {})).status == 400
        assert (await client.post("product/NOPE", {})).status == 404
        body = {"groupName": "Carrier", "roleTypeIdList": ["CARRIER"], "name": "ignored", "party_id": "ignored"}
        assert (await client.post("partygroup/", body)).json["roleTypeIdList"] == ["CARRIER"]
        assert (await client.post(shop.supplier, {"groupName": "Renamed"})).json["groupName"] == "Renamed"
        variance = {
            "facilityUrl": shop.bins[0],
            "statusId": "PHSCL_INV_COMMITTED",
            "inventoryItemVarianceList": [{"productUrl": shop.bolt, "quantityOnHandVar": 7}],
        }
        assert (await client.post("inventoryvariance/", {**variance, "statusId": "PHSCL_INV_INPUT"})).status == 200
        assert await stock(client) == []
        assert (await client.post("inventoryvariance/", variance)).status == 200
        assert [row[4] for row in await stock(client)] == [7]


async def test_each_change_is_stamped_in_the_accounts_zone_by_the_shops_clock() -> None:
    shop = small_shop()
    state = shop.state
    state.clock.hold(datetime(2026, 7, 1, 12, tzinfo=UTC))
    entry = {"attrName": "integration_mark", "attrValueLastUpdatedDate": True}
    state.edit_product(shop.bolt, userFieldDataList=[entry])
    assert state.store.get("product", shop.bolt)["lastUpdatedDate"] == "2026-07-01T08:00:00"
    assert entry["attrValue"] == "2026-07-01T08:00:00"
    state.clock.hold(datetime(2026, 7, 2, 12, tzinfo=UTC))
    url = shop.order((shop.bolt, 1, 1))
    state.clock.hold(datetime(2026, 7, 3, 12, tzinfo=UTC))
    state.act(url, "lock")
    order = state.store.get("order", url)
    assert (order["createdDate"], order["lastUpdatedDate"]) == ("2026-07-02T08:00:00", "2026-07-03T08:00:00")
    assert order["statusIdHistoryList"][-1]["txStamp"] == 1783080000
    state.add_stock(shop.bolt, shop.bins[0], 1)
    assert state.store.get("product", shop.bolt)["lastUpdatedDate"] == "2026-07-01T08:00:00"  # stock is no change of it
    with pytest.raises(ValueError, match="zone"):
        state.clock.hold(datetime(2026, 7, 3, 12))  # noqa: DTZ001 - the point of it
    with pytest.raises(RefusedError):
        state.act(url, "lock")
    with pytest.raises(KeyError):
        state.edit_product("/acme/api/product/NOPE", cost=1)
