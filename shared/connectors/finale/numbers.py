"""Finale's numbers: JSON numbers, texts of them, or texts for people as `1,234.50`. Pure and exact."""

import re
from decimal import Decimal, InvalidOperation

from shared.errors import DataError

Number = int | Decimal

NO_VALUE = "--"
"""How Finale writes "no value" where it formats."""
_LONGEST = 100
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def number(value: object, what: str) -> Number | None:
    """The exact number; None where there is none. DataError naming `what` for anything else."""
    found = parsed(value)
    if found is None and value is not None:
        raise DataError(f"{what} is no number: {str(value)[:40]!r}")
    return found


def formatted_number(value: object, what: str) -> Number | None:
    """As `number`, of a value that was formatted for people: `--` and blanks are none."""
    return None if is_blank(value) else number(value, what)


def is_blank(value: object) -> bool:
    """Nothing, or what Finale writes for it."""
    return value is None or (isinstance(value, str) and value.strip() in ("", NO_VALUE))


def parsed(value: object) -> Number | None:
    """The exact number; None for what is none. Thousands are separated by commas, as in all that Finale formats."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or len(value) > _LONGEST or "_" in value:  # which Decimal reads over
        return None
    text = value.strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
