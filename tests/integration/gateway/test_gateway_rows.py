"""The synced rows as their owner sees them."""

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from gateway_harness import Gateway, User

from shared.contracts.records import FIELDS, LINE_FIELDS
from shared.storage.synced_rows import InventoryRow, OrderLine, PurchaseOrderRow, SyncedRow, VendorRow


async def insert(gateway: Gateway, user: User, source: dict[str, Any], table: str, **values: Any) -> UUID:
    row = {"user_id": user.id, "source_id": UUID(source["id"]), "source_system": "json_api", "external_id": uuid4().hex}
    row |= values
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    added = await gateway.admin.fetchval(
        f"insert into {table} ({', '.join(row)}) values ({places}) returning id", *row.values()
    )
    assert isinstance(added, UUID)
    return added


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (InventoryRow, [field.name for field in FIELDS["inventory"]]),
        (VendorRow, [field.name for field in FIELDS["vendors"]]),
        (PurchaseOrderRow, [*(field.name for field in FIELDS["purchase_orders"]), "lines"]),
    ],
)
def test_the_views_have_every_internal_field(model: type[SyncedRow], fields: list[str]) -> None:
    assert set(model.model_fields) == set(SyncedRow.model_fields) | set(fields)
    assert list(OrderLine.model_fields) == [field.name for field in LINE_FIELDS]


async def test_numbers_and_times_are_exact_text(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    row_id = await gateway.admin.fetchval(
        """insert into inventory (user_id, source_id, source_system, external_id, sku, quantity_on_hand, unit_cost,
             extra, source_updated_at)
           values ($1, $2, 'json_api', 'a', 'A-1', 12345678901234567890.10, 100, '{"weight": 1.10, "n": 7}',
             '2026-03-01 12:00:00+02') returning id""",
        user.id, UUID(source["id"]),
    )  # fmt: skip
    (row,) = (await user.get("/api/inventory")).body["items"]
    assert (row["id"], row["source_id"], row["source_system"], row["external_id"]) == (
        str(row_id), source["id"], "json_api", "a",
    )  # fmt: skip
    assert (row["quantity_on_hand"], row["unit_cost"], row["unit_price"]) == ("12345678901234567890.10", "100", None)
    assert row["source_updated_at"] == "2026-03-01T10:00:00Z"
    assert row["extra"] == {"weight": "1.10", "n": 7}


async def test_orders_come_with_their_lines_in_order(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    order = await insert(gateway, user, source, "purchase_orders", order_number="PO-1")
    await insert(gateway, user, source, "purchase_orders", order_number="PO-2")
    older = await insert(gateway, user, source, "purchase_orders", order_number="PO-3")
    for of, places in ((order, (2, 3, 1)), (older, (None, None, None))):
        for number, place in zip((3, 1, 2), places, strict=True):
            await gateway.admin.execute(
                "insert into purchase_order_lines (purchase_order_id, user_id, line_number, place, sku, quantity) "
                "values ($1, $2, $3, $4, $5, 1.50)",
                of, user.id, number, place, f"sku {number}",
            )  # fmt: skip
    await gateway.admin.execute(
        "update purchase_orders set order_date = '2026-11-22', total = 9.00 where id = $1", order
    )
    orders = {row["order_number"]: row for row in (await user.get("/api/purchase_orders")).body["items"]}
    assert [line["sku"] for line in orders["PO-1"]["lines"]] == ["sku 2", "sku 3", "sku 1"], "the source's order"
    assert [line["sku"] for line in orders["PO-3"]["lines"]] == ["sku 1", "sku 2", "sku 3"]
    assert orders["PO-1"]["lines"][0]["quantity"] == "1.50"
    assert (orders["PO-1"]["order_date"], orders["PO-1"]["total"]) == ("2026-11-22", "9.00")
    assert orders["PO-2"]["lines"] == []


async def test_rows_are_filtered(gateway: Gateway, user: User, stranger: User) -> None:
    first, second = await user.add_source(), await user.add_source()
    await insert(gateway, user, first, "vendors", name="first")
    await insert(gateway, user, second, "vendors", name="second")
    gone = await insert(gateway, user, second, "vendors", name="gone")
    await gateway.admin.execute(
        "update vendors set deleted_at = now(), last_changed_at = '2030-01-01' where id = $1", gone
    )
    other = await stranger.add_source()
    await insert(gateway, stranger, other, "vendors", name="not yours")

    async def names(query: str = "") -> set[str]:
        answer = await user.get(f"/api/vendors{query}")
        assert answer.status == 200, answer.text
        return {row["name"] for row in answer.body["items"]}

    assert await names() == {"first", "second"}
    assert await names("?include_deleted=true") == {"first", "second", "gone"}
    assert await names(f"?source_id={second['id']}") == {"second"}
    assert await names(f"?source_id={other['id']}") == set()
    since = quote("2029-12-31T23:00:00-01:00")
    assert await names(f"?updated_since={since}&include_deleted=true") == {"gone"}
    assert await names(f"?updated_since={since}") == set()


async def test_pages_hold_every_row_once_while_rows_come(gateway: Gateway, user: User) -> None:
    source = await user.add_source()
    before = {str(await insert(gateway, user, source, "inventory", sku=f"{number}")) for number in range(25)}
    seen: list[str] = []
    path = "/api/inventory?limit=10"
    while True:
        answer = (await user.get(path)).body
        assert len(answer["items"]) <= 10
        seen += [row["id"] for row in answer["items"]]
        if answer["next_cursor"] is None:
            break
        await insert(gateway, user, source, "inventory", sku="meanwhile")
        path = f"/api/inventory?limit=10&cursor={answer['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert before <= set(seen)
    first = (await user.get("/api/inventory?limit=1")).body["next_cursor"]
    assert (await user.get(f"/api/vendors?cursor={first}")).status == 400
