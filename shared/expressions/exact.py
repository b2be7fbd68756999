"""Numbers as JSON has them: int or Decimal, never float, never a bool, and never rounded on the sly."""

import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import TypeGuard

from shared.expressions.limits import MAX_NUMBER_CHARS, ExpressionError

Number = int | Decimal

SUM_DIGITS = 200
"""A sum that needs more digits than this is an error, not a rounded number."""
AVERAGE_DIGITS = 34
"""Digits of an average that does not end (10 / 3): the only rounding there is."""
PLAIN_MAGNITUDE = 1_000
"""Beyond 10^±this a number is written with an exponent, so that `1e999999` stays nine characters."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(\.\d*)?|(\.\d+))([eE][+-]?\d{1,6})?)\s*", re.ASCII)
_EXACT = Context(prec=SUM_DIGITS, traps=[Inexact, InvalidOperation, Overflow])
_ROUNDED = Context(prec=AVERAGE_DIGITS)


def is_number(value: object) -> TypeGuard[Number]:
    """True for int and Decimal; JSON booleans are no numbers."""
    kind = type(value)
    if kind is int or kind is Decimal:  # what JSON holds, told without a look at base classes
        return True
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def plain_text(number: Number) -> str:
    """The number's exact text with its trailing zeros: `12.50`; no exponent at reasonable magnitudes."""
    if isinstance(number, Decimal):
        text = str(number)
        if "E" not in text or abs(number.adjusted()) > PLAIN_MAGNITUDE:
            return text
        return format(number, "f")
    if (
        number.bit_length() > 10_000
    ):  # Python refuses to write ints of more than 4300 digits; decimals may be any length
        return format(Decimal(number), "f")
    return str(number)


def parse_number(text: str) -> Number | None:
    """The number that the text writes in JSON's manner, surrounding blanks and a leading plus allowed; else None."""
    if len(text) > MAX_NUMBER_CHARS:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits, fraction, bare_fraction, exponent = match.groups()
    if fraction is None and bare_fraction is None and exponent is None:
        return int(digits)
    return Decimal(digits)


def exact_sum(numbers: Sequence[Number]) -> Number:
    """The exact sum, 0 for none. ExpressionError when it needs more than SUM_DIGITS digits."""
    whole = 0
    total: Decimal | None = None
    try:
        for number in numbers:
            if isinstance(number, Decimal):
                total = number if total is None else _EXACT.add(total, number)
            else:
                whole += number
        if total is None:
            return whole
        return _EXACT.add(total, Decimal(whole)) if whole else total
    except DecimalException:
        raise ExpressionError(f"a sum needs more than {SUM_DIGITS} digits") from None


def average(numbers: Sequence[Number]) -> Number | None:
    """The mean, exact where it ends within SUM_DIGITS digits, else rounded to AVERAGE_DIGITS; None for none."""
    if not numbers:
        return None
    total, count = Decimal(exact_sum(numbers)), Decimal(len(numbers))
    try:
        return _EXACT.divide(total, count)
    except DecimalException:
        return _ROUNDED.divide(total, count)


def magnitude(number: Number) -> Number:
    """The absolute value. `abs` would round a long Decimal to the ambient context."""
    return number.copy_abs() if isinstance(number, Decimal) else abs(number)


def ceiling(number: Number) -> Number:
    """The smallest integer that is not below."""
    return _integral(number, ROUND_CEILING)


def floor(number: Number) -> Number:
    """The largest integer that is not above."""
    return _integral(number, ROUND_FLOOR)


def _integral(number: Number, rounding: str) -> Number:
    if not isinstance(number, Decimal):
        return number
    whole = number.to_integral_value(rounding=rounding)
    return int(whole) if whole.adjusted() <= PLAIN_MAGNITUDE else whole  # int(1E+999999999) would fill the memory
