"""The internal records: which fields an entity has, their types, and the limits on one value.

A row travels from the transformer to the writer as *cells*: Postgres' text form of each value, or None. So numbers
keep every digit, and the writer copies cells without looking into them.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from shared.contracts.ids import Entity

FieldType = Literal["text", "numeric", "integer", "date", "timestamptz"]

MAX_NUMERIC_DIGITS = 60
"""Digits before and after the point that a number may need; `1e999999` would otherwise fill a disk."""
NUMERIC_PATTERN = rf"^-?[0-9]{{1,{MAX_NUMERIC_DIGITS}}}(\.[0-9]{{1,{MAX_NUMERIC_DIGITS}}})?$"
"""The text of a number."""
CHANGE_TIME = "source_updated_at"
"""The field that is the source's own time of a change, and never a change itself."""
MAX_TEXT_CHARS = 100_000
"""Characters of one text value."""
MAX_LINES = 5_000
"""Lines of one purchase order."""


class FieldSpec(NamedTuple):
    """One internal field."""

    name: str
    type: FieldType
    values: tuple[str, ...] = ()
    """The only words allowed, where the field is a status."""


def _fields(*specs: str | FieldSpec) -> tuple[FieldSpec, ...]:
    return tuple(spec if isinstance(spec, FieldSpec) else FieldSpec(spec, "text") for spec in specs)


def _numeric(*names: str) -> tuple[FieldSpec, ...]:
    return tuple(FieldSpec(name, "numeric") for name in names)


INVENTORY_FIELDS = (
    *_fields("sku", "name", "description", "category", FieldSpec("status", "text", ("active", "inactive"))),
    *_numeric("quantity_on_hand", "quantity_on_order", "quantity_reserved", "reorder_point", "reorder_quantity"),
    *_numeric("unit_cost", "unit_price"),
    *_fields("currency", "unit_of_measure", "barcode", "location", "preferred_vendor_id"),
    FieldSpec("source_updated_at", "timestamptz"),
)
VENDOR_FIELDS = (
    *_fields("name", "contact_name", "contact_email", "contact_phone", "address", "website", "payment_terms"),
    *_fields("currency", FieldSpec("lead_time_days", "integer"), "status", "notes"),
    FieldSpec("source_updated_at", "timestamptz"),
)
PURCHASE_ORDER_FIELDS = (
    *_fields("order_number", "vendor_id"),
    FieldSpec("status", "text", ("draft", "submitted", "partially_received", "received", "cancelled")),
    *(FieldSpec(name, "date") for name in ("order_date", "expected_date", "received_date")),
    *_fields("currency"),
    *_numeric("subtotal", "tax", "shipping", "total"),
    *_fields("notes"),
    FieldSpec("source_updated_at", "timestamptz"),
)
LINE_FIELDS = (
    FieldSpec("line_number", "integer"),
    *_fields("item_id", "sku", "description"),
    *_numeric("quantity", "quantity_received", "unit_cost", "line_total"),
)
"""Fields of one purchase order line. `line_number` defaults to the position from 1."""

FIELDS: dict[Entity, tuple[FieldSpec, ...]] = {
    "inventory": INVENTORY_FIELDS,
    "vendors": VENDOR_FIELDS,
    "purchase_orders": PURCHASE_ORDER_FIELDS,
}
REQUIRED_ANY: dict[Entity, tuple[str, ...]] = {
    "inventory": ("sku", "name"),
    "vendors": ("name",),
    "purchase_orders": ("order_number",),
}
"""At least one of these must have a value, else the record is quarantined."""

Cell = str | None
"""Postgres' text form of a value: `12.50`, `2026-11-22`, `2026-11-22T10:00:00+00:00`; None is NULL."""


class Row(NamedTuple):
    """One mapped record on its way to the writer. On the wire it is a JSON array in this order."""

    external_id: str
    cells: list[Cell]
    """In the order of FIELDS[entity]."""
    extra: str
    """JSON text of the raw top-level fields that no rule uses; `{}` when none."""
    lines: list[list[Cell]] | None
    """Purchase orders: each line in the order of LINE_FIELDS; None for other entities, or when `lines` isn't mapped."""


class RecordReject(BaseModel):
    """One record that could not be mapped: kept with its page, stored in `quarantined_records` for replay."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    external_id: str | None
    """None when the record has no usable key; such a reject forbids deletes in this run."""
    field: str | None
    reason: str
    raw: str
    """The record as JSON text, as it came (cut at 1 MB)."""
