"""What a caller may send as the value of each kind of field; what is kept is clean and exact."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from sandboxes.quickbooks.entities import FieldKind, Spec
from sandboxes.quickbooks.wire import QuickBooksError

_NEVER = ("Lat", "Long")  # gone from addresses since August 2025
_MAX_DIGITS = 30
_MAX_LINES = 10_000


def clean(spec: Spec, body: Mapping[str, Any]) -> dict[str, Any]:
    """The writable fields that were sent; None: to be cleared. QuickBooksError for what does not fit."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        kind = spec.fields.get(name)
        if kind is None:
            raise QuickBooksError("2010", f"Property Name:Can not find property {name} in {spec.name}", name)
        if kind in ("server", "ignored"):
            continue
        found[name] = None if value is None or value == "" else value_of(kind, name, value)
        allowed = spec.enums.get(name)
        if found[name] is not None and allowed is not None and found[name] not in allowed:
            raise QuickBooksError("2170", f"{name} is one of {', '.join(sorted(allowed))}", name)
        longest = spec.lengths.get(name)
        if longest is not None and isinstance(found[name], str) and len(found[name]) > longest:
            raise QuickBooksError("6000", f"{name} is longer than {longest} characters", name)
    return found


def value_of(kind: FieldKind, name: str, value: Any) -> Any:
    """The value as it is kept. QuickBooksError when it is none of this kind."""
    found: Any = None
    match kind:
        case "number":
            found = number(name, value)
        case "date" if isinstance(value, str):
            found = _date(name, value)
        case "bool" if isinstance(value, bool) or value in ("true", "false"):
            found = value in (True, "true")
        case "text" if isinstance(value, str):
            found = value
        case "ref" if isinstance(value, dict) and isinstance(value.get("value"), str) and value["value"]:
            found = {key: value[key] for key in ("value", "name") if value.get(key)}
        case "object" if isinstance(value, dict):
            found = {key: part for key, part in value.items() if key not in _NEVER and part not in (None, "")}
        case "list" if isinstance(value, list) and len(value) <= _MAX_LINES:
            found = value
        case _:
            pass
    if found is None:
        raise QuickBooksError("2010", f"Property Name:{name} has a value of the wrong type", name)
    return found


def number(name: str, value: Any) -> int | Decimal:
    """An int, a Decimal or the text of one, as some clients send decimals. QuickBooksError when it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise QuickBooksError("2010", f"Property Name:{name} is no number", name)
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise QuickBooksError("2010", f"Property Name:{name} is no number", name) from None
    if not found.is_finite() or len(found.as_tuple().digits) > _MAX_DIGITS or abs(found.adjusted()) > _MAX_DIGITS:
        raise QuickBooksError("2010", f"Property Name:{name} is out of range", name)
    return value if isinstance(value, int) else found


def _date(name: str, value: str) -> str:
    try:
        # callers also send times; the date counts
        return date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        raise QuickBooksError("2010", f"Property Name:{name} is no date", name) from None
