"""A source over the generated shop of the JSON API, and its rows beside the truth: every row, every value."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from sandboxes.json_api.state import JsonApiState

COLUMNS = {
    "sku": "productCode",
    "name": "description",
    "category": "category",
    "quantity_on_hand": "qtyOnHand",
    "reorder_point": "reorderLevel",
    "unit_cost": "unitCost",
    "currency": "currency",
    "barcode": "barcode",
    "location": "binLocation",
    "preferred_vendor_id": "defaultSupplierId",
}
"""Columns of `inventory` and the fields they come from; all other fields are kept in `extra`."""

Rows = dict[str, dict[str, Any]]


def products_source(base: str, *, page_size: int, name: str = "a", **more: Any) -> dict[str, Any]:
    """As a user would add it. `name` tells its calls from those of others; `more` are fields of the source."""
    paging = {"type": "page", "page_param": "page", "size_param": "size", "page_size": page_size}
    inventory = {
        "url": f"{base}/page/products",
        "params": {"reader": name},
        "records_path": "items",
        "id_path": "productCode",
        "pagination": paging,
    }
    return {
        "source_type": "json_api",
        "display_name": f"the shop, read by {name}",
        "config": {"entities": {"inventory": inventory}},
        "credentials": {"type": "none"},
        "field_mappings": {"inventory": COLUMNS},
        "sync_frequency": "manual",
        **more,
    }


def truth(state: JsonApiState) -> Rows:
    """What the table must hold after a sync, by external id."""
    return {record["productCode"]: _as_row(record) for record in state.records("products")}


def _as_row(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {column: record[field] for column, field in COLUMNS.items()}
    mapped = set(COLUMNS.values())
    return {**row, "extra": {field: value for field, value in record.items() if field not in mapped}, "deleted": False}


async def stored(database_url: str, source_id: UUID) -> Rows:
    """What the table holds, deleted rows included."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("select * from inventory where source_id = $1", source_id)
    finally:
        await connection.close()
    return {
        row["external_id"]: {
            **{column: row[column] for column in COLUMNS},
            "extra": json.loads(row["extra"], parse_float=Decimal),
            "deleted": row["deleted_at"] is not None,
        }
        for row in rows
    }


def differences(found: Rows, expected: Rows, most: int = 5) -> list[str]:
    """The first few rows that differ: of 100,000, an assertion's own comparison would be no help."""
    keys = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    return [f"{len(keys)} differ"] * bool(keys) + [
        f"{key}: {found.get(key)} where {expected.get(key)} is due" for key in keys[:most]
    ]


async def deadlocks(database_url: str) -> int:
    """How many Postgres had to break in this database."""
    connection = await asyncpg.connect(database_url)
    try:
        count: int = await connection.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
    finally:
        await connection.close()
    return count
