"""The synced rows as the API shows them, read under the caller's own row-level security."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.contracts.ids import ENTITIES, Entity, SourceId, UserId
from shared.contracts.records import CHANGE_TIME, FIELDS, REQUIRED_ANY
from shared.storage.database import Connection
from shared.storage.queries import fill, load_queries

_SQL = load_queries("shared.storage", "synced_rows.sql")

DecimalText = Annotated[str, Field(json_schema_extra={"format": "decimal"})]
"""An exact decimal as JSON text, with the digits that the source gave."""


class SyncedRow(BaseModel):
    """What the rows of every entity have. `extra`: raw fields that no rule maps; decimals in it are text too."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    source_id: SourceId
    source_system: str
    external_id: str
    source_updated_at: datetime | None
    extra: dict[str, Any]
    first_seen_at: datetime
    last_changed_at: datetime
    deleted_at: datetime | None


class InventoryRow(SyncedRow):
    """One item."""

    sku: str | None
    name: str | None
    description: str | None
    category: str | None
    status: str | None
    quantity_on_hand: DecimalText | None
    quantity_on_order: DecimalText | None
    quantity_reserved: DecimalText | None
    reorder_point: DecimalText | None
    reorder_quantity: DecimalText | None
    unit_cost: DecimalText | None
    unit_price: DecimalText | None
    currency: str | None
    unit_of_measure: str | None
    barcode: str | None
    location: str | None
    preferred_vendor_id: str | None


class VendorRow(SyncedRow):
    """One vendor."""

    name: str | None
    contact_name: str | None
    contact_email: str | None
    contact_phone: str | None
    address: str | None
    website: str | None
    payment_terms: str | None
    currency: str | None
    lead_time_days: int | None
    status: str | None
    notes: str | None


class OrderLine(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(frozen=True)

    line_number: int
    item_id: str | None
    sku: str | None
    description: str | None
    quantity: DecimalText | None
    quantity_received: DecimalText | None
    unit_cost: DecimalText | None
    line_total: DecimalText | None


class PurchaseOrderRow(SyncedRow):
    """One order with its lines, in the source's order."""

    order_number: str | None
    vendor_id: str | None
    status: str | None
    order_date: date | None
    expected_date: date | None
    received_date: date | None
    currency: str | None
    subtotal: DecimalText | None
    tax: DecimalText | None
    shipping: DecimalText | None
    total: DecimalText | None
    notes: str | None
    lines: list[OrderLine]


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows, ordered by id. `changed_since`: rows that changed here (deletion included) at that time or later."""

    user_id: UserId
    limit: int
    source_id: SourceId | None = None
    changed_since: datetime | None = None
    include_deleted: bool = False
    after: UUID | None = None
    only: UUID | None = None
    """This row and no other."""

    def arguments(self) -> tuple[object, ...]:
        """In the order of the queries' parameters."""
        return self.user_id, self.source_id, self.changed_since, self.include_deleted, self.after, self.limit, self.only


async def list_inventory(conn: Connection, wanted: RowFilter) -> list[InventoryRow]:
    """Items. `conn` is bound to the user (`Database.as_user`)."""
    return [InventoryRow.model_validate(dict(row)) for row in await conn.fetch(_SQL["inventory"], *wanted.arguments())]


async def list_vendors(conn: Connection, wanted: RowFilter) -> list[VendorRow]:
    """Vendors, likewise."""
    return [VendorRow.model_validate(dict(row)) for row in await conn.fetch(_SQL["vendors"], *wanted.arguments())]


async def list_purchase_orders(conn: Connection, wanted: RowFilter) -> list[PurchaseOrderRow]:
    """Orders with their lines, likewise."""
    heads = await conn.fetch(_SQL["purchase_orders"], *wanted.arguments())
    lines: defaultdict[UUID, list[OrderLine]] = defaultdict(list)
    for row in await conn.fetch(_SQL["lines"], wanted.user_id, [head["id"] for head in heads]):
        lines[row["purchase_order_id"]].append(OrderLine.model_validate(dict(row)))
    return [PurchaseOrderRow.model_validate({**head, "lines": lines[head["id"]]}) for head in heads]


def _edit(entity: Entity) -> str:
    names = [field.name for field in FIELDS[entity] if field.name != CHANGE_TIME]
    required = " or ".join(f"coalesce(t.{name}, '') <> ''" for name in REQUIRED_ANY[entity])
    values = {
        "table": entity,
        "columns": ", ".join(names),
        "new_columns": ", ".join(f"n.{name}" for name in names),
        "old_columns": ", ".join(f"t.{name}" for name in names),
        "required": f"({required})",
    }
    return fill(_SQL["edit"], values)


_EDITS = {entity: _edit(entity) for entity in ENTITIES}


async def edit_row(
    conn: Connection, user_id: UserId, entity: Entity, row_id: UUID, changes: Mapping[str, JsonValue]
) -> bool | None:
    """Change a living row of the tenant that `conn` is bound to (`Database.for_tenant`).

    None: there is no such row. False: it would lack what its entity cannot be without, so do not commit. `changes`:
    fields of the entity with values that its columns take. The next read that brings the record puts the source's
    values back where they differ. Raises PlatformAwayError when a writer holds the row for longer than a moment.
    """
    await conn.execute(_SQL["edit_patience"])
    complete: bool | None = await conn.fetchval(_EDITS[entity], user_id, row_id, dict(changes))
    return complete
