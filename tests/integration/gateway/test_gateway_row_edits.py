"""A person's own edits of synced rows."""

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from gateway_harness import Gateway, User

from services.gateway.row_edits import InventoryEdit, PurchaseOrderEdit, VendorEdit
from shared.contracts.ids import Entity
from shared.contracts.records import FIELDS

NAMES: dict[Entity, dict[str, str]] = {
    "inventory": {"sku": "A-1", "name": "hinge"},
    "vendors": {"name": "Acme"},
    "purchase_orders": {"order_number": "PO-1"},
}
CHANGES: list[tuple[Entity, dict[str, Any]]] = [
    ("inventory", {"quantity_on_hand": "12.50", "status": "inactive", "location": None}),
    ("vendors", {"lead_time_days": 14, "notes": "rings \N{BELL} twice"}),
    ("purchase_orders", {"expected_date": "2026-12-24", "total": "0.10", "status": "cancelled"}),
]


async def insert(gateway: Gateway, user: User, entity: Entity, **values: Any) -> str:
    source = await user.add_source()
    row = {"user_id": user.id, "source_id": UUID(source["id"]), "source_system": "json_api", "external_id": "k"}
    row |= NAMES[entity] | values
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    added = await gateway.admin.fetchval(
        f"insert into {entity} ({', '.join(row)}) values ({places}) returning id", *row.values()
    )
    return str(added)


def test_every_field_but_the_sources_own_time_can_be_edited() -> None:
    for entity, model in (
        ("inventory", InventoryEdit),
        ("vendors", VendorEdit),
        ("purchase_orders", PurchaseOrderEdit),
    ):
        fields = FIELDS[entity]  # type: ignore[index] # a literal of the three
        assert [*model.model_fields, "source_updated_at"] == [field.name for field in fields]
        for field in fields:
            if field.values:
                assert f"Literal{list(field.values)}" in str(model.model_fields[field.name].annotation)


@pytest.mark.parametrize(("entity", "changes"), CHANGES, ids=[entity for entity, _ in CHANGES])
async def test_an_edit_changes_what_it_names_and_nothing_else(
    gateway: Gateway, user: User, entity: Entity, changes: dict[str, Any]
) -> None:
    row_id = await insert(gateway, user, entity)
    (before,) = (await user.get(f"/api/{entity}")).body["items"]

    answer = await user.call("PATCH", f"/api/{entity}/{row_id}", changes)

    assert answer.status == 200, answer.body
    (after,) = (await user.get(f"/api/{entity}")).body["items"]
    assert answer.body == after
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {name for name in changes if changes[name] is not None} | {"last_changed_at"}
    assert {name: after[name] for name in changes} == changes
    since = quote(after["last_changed_at"])
    assert len((await user.get(f"/api/{entity}?updated_since={since}")).body["items"]) == 1
    (entry,) = [one for one in (await user.get("/api/audit")).body["items"] if one["action"] == "row.edited"]
    assert (entry["object_id"], entry["details"]) == (row_id, {"entity": entity, "fields": sorted(changes)})


@pytest.mark.parametrize(
    ("entity", "changes", "field"),
    [
        ("inventory", {}, ""),
        ("inventory", {"quantity_on_hand": "many"}, "/quantity_on_hand"),
        ("inventory", {"quantity_on_hand": 12}, "/quantity_on_hand"),
        ("inventory", {"quantity_on_hand": "1e5"}, "/quantity_on_hand"),
        ("inventory", {"status": "sold"}, "/status"),
        ("inventory", {"sku": None, "name": ""}, "/sku"),
        ("inventory", {"name": "a\0b"}, "/name"),
        ("inventory", {"external_id": "other"}, "/external_id"),
        ("inventory", {"user_id": "00000000-0000-4000-8000-000000000000"}, "/user_id"),
        ("inventory", {"source_updated_at": "2026-01-01T00:00:00Z"}, "/source_updated_at"),
        ("vendors", {"lead_time_days": 2**31}, "/lead_time_days"),
        ("vendors", {"name": None}, "/name"),
        ("purchase_orders", {"order_date": "soon"}, "/order_date"),
        ("purchase_orders", {"order_date": 0}, "/order_date"),
        ("purchase_orders", {"order_date": "1700006400"}, "/order_date"),
        ("purchase_orders", {"order_date": "2026-01-01T00:00:00"}, "/order_date"),
        ("purchase_orders", {"order_date": "2026-02-30"}, "/order_date"),
        ("purchase_orders", {"lines": []}, "/lines"),
    ],
    ids=str,
)
async def test_what_a_field_cannot_hold_is_refused_by_name(
    gateway: Gateway, user: User, entity: Entity, changes: dict[str, Any], field: str
) -> None:
    row_id = await insert(gateway, user, entity)
    (before,) = (await user.get(f"/api/{entity}")).body["items"]

    answer = await user.call("PATCH", f"/api/{entity}/{row_id}", changes)

    assert answer.status == 422, answer.body
    assert field in [error["pointer"] for error in answer.body["errors"]]
    assert (await user.get(f"/api/{entity}")).body["items"] == [before]


async def test_nobody_elses_row_and_no_deleted_one_can_be_edited(gateway: Gateway, user: User) -> None:
    row_id = await insert(gateway, user, "inventory")
    stranger = gateway.user()
    edit = {"sku": "mine"}

    assert (await stranger.call("PATCH", f"/api/inventory/{row_id}", edit)).status == 404
    assert (await user.call("PATCH", f"/api/inventory/{uuid4()}", edit)).status == 404
    assert (await user.call("PATCH", f"/api/vendors/{row_id}", {"name": "x"})).status == 404
    await gateway.admin.execute("update inventory set deleted_at = now() where id = $1", UUID(row_id))
    assert (await user.call("PATCH", f"/api/inventory/{row_id}", edit)).status == 404
    assert await gateway.admin.fetchval("select sku from inventory where id = $1", UUID(row_id)) == "A-1"
