"""Values as Finale's pages write them: what GraphQL and reports give unless they are asked for raw ones."""

import html
from decimal import Decimal
from typing import Any, Literal

from sandboxes.finale.store import Number, parse_instant

Kind = Literal["text", "number", "date", "instant", "days"]
FORMATTERS = ("none", "html", "abbreviated", "blank-zero")
NO_VALUE = "--"
LABELS = {
    "ORDER_CREATED": "Draft",
    "ORDER_EMBRYONIC": "Draft",
    "ORDER_LOCKED": "Committed",
    "ORDER_COMPLETED": "Completed",
    "ORDER_CANCELLED": "Canceled",
    "PRODUCT_ACTIVE": "Active",
    "PRODUCT_INACTIVE": "Inactive",
    "PARTY_ENABLED": "Active",
    "PARTY_DISABLED": "Inactive",
    "FACILITY_ACTIVE": "Active",
    "PURCHASE_ORDER": "Purchase order",
    "SALES_ORDER": "Sales order",
    "PURCHASE_SHIPMENT": "Purchase shipment",
    "SALES_SHIPMENT": "Sales shipment",
    "SHIPMENT_INPUT": "Editable",
    "SHIPMENT_PACKED": "Packed",
    "SHIPMENT_SHIPPED": "Shipped",
    "SHIPMENT_DELIVERED": "Received",
    "SHIPMENT_CANCELLED": "Canceled",
}


def formatted(value: Any, kind: Kind, formatter: str | None = None) -> str | None:
    """The value as text. `none` gives it raw, with null for no value. ValueError for a formatter that is unknown."""
    if formatter is not None and formatter not in FORMATTERS:
        raise ValueError(f'Unknown formatter "{formatter}". Valid values: {", ".join(FORMATTERS)}')
    if formatter == "none":
        return None if value is None else str(value)
    if value is None:
        return NO_VALUE
    if formatter == "blank-zero" and value == 0:
        return ""
    if formatter == "abbreviated" and isinstance(value, int | Decimal) and not -1000 < value < 1000:
        return _abbreviated(value)
    text = _written(value, kind)
    return html.escape(text) if formatter == "html" else text


def _written(value: Any, kind: Kind) -> str:
    if kind == "number":
        return f"{value:,}"
    if kind == "days":
        return f"{value:,} d"
    moment = parse_instant(value) if kind in ("date", "instant") else None
    if moment is None:
        return LABELS.get(value, str(value))
    day = f"{moment.month}/{moment.day}/{moment.year}"
    return day if kind == "date" else f"{day} {moment.hour % 12 or 12}:{moment:%M %p}"


def _abbreviated(value: Number) -> str:
    size, letter = (1_000, "K") if -1_000_000 < value < 1_000_000 else (1_000_000, "M")
    return f"{Decimal(value) / size:.1f}{letter}"
