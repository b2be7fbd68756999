"""Finale's numbers: JSON numbers, texts of them, or texts for people as `1,234.50`. Pure and exact."""

import re
from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import reduce

from shared.errors import DataError

Number = int | Decimal

NO_VALUE = "--"
"""How Finale writes "no value" where it formats."""
_LONGEST = 100
_MOST_DIGITS = 60
"""On each side of the point, as internal fields allow. So what follows is exact: a sum has some 130 digits, a product
twice as many, where Python's own context rounds to 28."""
_BEYOND: int = 10**_MOST_DIGITS
_EXACT = Context(prec=300, traps=[Inexact, InvalidOperation, Overflow])
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
        return value if _is_moderate(value) else None
    if not isinstance(value, str) or len(value) > _LONGEST or "_" in value:  # which Decimal reads over
        return None
    text = value.strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if _is_moderate(found) else None


def plus(first: Number, second: Number) -> Number:
    """The exact sum of two numbers from here, or of such sums."""
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    return _EXACT.add(first, second)


def summed(numbers: Iterable[Number]) -> Number:
    """The exact sum; 0 of none."""
    nothing: Number = 0
    return reduce(plus, numbers, nothing)


def minus(first: Number, second: Number) -> Number:
    """The exact difference."""
    return first - second if isinstance(first, int) and isinstance(second, int) else _EXACT.subtract(first, second)


def times(first: Number, second: Number) -> Number:
    """The exact product of two numbers from here."""
    return first * second if isinstance(first, int) and isinstance(second, int) else _EXACT.multiply(first, second)


def _is_moderate(number: Number) -> bool:
    if isinstance(number, int):
        return -_BEYOND < number < _BEYOND
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_MOST_DIGITS and number.adjusted() < _MOST_DIGITS
