"""Finale's numbers: JSON numbers or texts of them, both were met. Pure and exact."""

from decimal import Decimal, InvalidOperation

from shared.errors import DataError

Number = int | Decimal


def number(value: object, what: str) -> Number | None:
    """The exact number; None where there is none. DataError naming `what` for anything else."""
    if value is None:
        return None
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 100:
        try:
            found = Decimal(value.strip())
        except InvalidOperation:
            found = Decimal("NaN")
        if found.is_finite():
            return found
    raise DataError(f"{what} is no number: {str(value)[:40]!r}")
