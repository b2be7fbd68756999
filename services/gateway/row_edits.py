"""What a person may change of a synced row: the fields of the contract, each as its type says; null empties one."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from services.gateway.models import storable_text
from shared.contracts.records import MAX_TEXT_CHARS, NUMERIC_PATTERN


def _written_out(value: object) -> object:
    """Numbers and times of day would pass for dates too."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("a date is written YYYY-MM-DD")
    return value


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS), AfterValidator(storable_text)]
Decimal = Annotated[
    str,
    StringConstraints(pattern=NUMERIC_PATTERN),
    Field(json_schema_extra={"format": "decimal"}),
]
"""As JSON text, so that no digit is lost."""
Day = Annotated[date, BeforeValidator(_written_out)]
Whole = Annotated[int, Field(ge=-(2**31), le=2**31 - 1, strict=True)]


class RowEdit(BaseModel):
    """At least one field. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _something(self) -> "RowEdit":
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        return self

    def changes(self) -> Mapping[str, JsonValue]:
        """The fields that were sent, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


class InventoryEdit(RowEdit):
    """Of one item."""

    sku: Text | None = None
    name: Text | None = None
    description: Text | None = None
    category: Text | None = None
    status: Literal["active", "inactive"] | None = None
    quantity_on_hand: Decimal | None = None
    quantity_on_order: Decimal | None = None
    quantity_reserved: Decimal | None = None
    reorder_point: Decimal | None = None
    reorder_quantity: Decimal | None = None
    unit_cost: Decimal | None = None
    unit_price: Decimal | None = None
    currency: Text | None = None
    unit_of_measure: Text | None = None
    barcode: Text | None = None
    location: Text | None = None
    preferred_vendor_id: Text | None = None


class VendorEdit(RowEdit):
    """Of one vendor."""

    name: Text | None = None
    contact_name: Text | None = None
    contact_email: Text | None = None
    contact_phone: Text | None = None
    address: Text | None = None
    website: Text | None = None
    payment_terms: Text | None = None
    currency: Text | None = None
    lead_time_days: Whole | None = None
    status: Text | None = None
    notes: Text | None = None


class PurchaseOrderEdit(RowEdit):
    """Of one order's head; its lines are the source's."""

    order_number: Text | None = None
    vendor_id: Text | None = None
    status: Literal["draft", "submitted", "partially_received", "received", "cancelled"] | None = None
    order_date: Day | None = None
    expected_date: Day | None = None
    received_date: Day | None = None
    currency: Text | None = None
    subtotal: Decimal | None = None
    tax: Decimal | None = None
    shipping: Decimal | None = None
    total: Decimal | None = None
    notes: Text | None = None
