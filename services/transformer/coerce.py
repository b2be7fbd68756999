"""Values to cells: each internal type from what vendors send for it. Pure; what does not fit is a FieldError."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import assert_never

from services.transformer.times import canonical_utc_text, epoch_moment, parse_date, parse_datetime, utc_text
from shared.contracts.mapping import RuleType
from shared.contracts.records import MAX_NUMERIC_DIGITS, Cell, FieldType
from shared.contracts.time_format import EPOCHS
from shared.expressions.exact import Number, is_number, plain_text
from shared.expressions.limits import ReadNumber

MAX_NUMBER_CHARS = 200
"""Characters of a text that is read as a number."""
MAX_INTEGER = 2**31 - 1
"""Postgres' `integer`."""
_MAX_SHOWN = 60

Coercer = Callable[[object], Cell]
"""A value that is not None to its cell (None for an empty text where that means null). Raises FieldError."""
Converter = Callable[[object], object]


class FieldError(Exception):
    """One field of one record does not fit; the reason says what was expected."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Notation:
    """How the source writes what JSON has no type for."""

    decimal: str = "."
    thousands: str = ""
    zone: tzinfo = UTC
    form: str | None = None
    """The form of dates and times as `contracts.time_format` spells it; None is ISO."""


def shown(value: object) -> str:
    """The value for a reason a person reads: cut, and without what a text column refuses."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else plain_text(value) if is_number(value) else str(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def expected(what: str, value: object) -> FieldError:
    """The error of a value that is not `what`."""
    return FieldError(f"expected {what}, got {shown(value)}")


def coercer(field_type: FieldType, notation: Notation) -> Coercer:
    """The function that makes cells of this internal type."""
    if field_type == "text":
        return text_cell
    if field_type == "numeric":
        read = number_reader(notation)
        return lambda value: _numeric_cell(read(value), value)
    if field_type == "integer":
        read = number_reader(notation)
        return lambda value: _integer_cell(read(value), value)
    if field_type == "date":
        return lambda value: None if (day := _to_date(value, notation)) is None else day.isoformat()
    if field_type == "timestamptz":
        return _time_reader(notation)
    assert_never(field_type)


def converter(rule_type: RuleType, notation: Notation) -> Converter:
    """The function that applies a rule's `type`, before the internal field's own type."""
    if rule_type == "string":
        return text_cell
    if rule_type == "number":
        return number_reader(notation)
    if rule_type == "integer":
        read = number_reader(notation)
        return lambda value: None if (cell := _integer_cell(read(value), value)) is None else int(cell)
    if rule_type == "boolean":
        return _to_boolean
    if rule_type == "date":
        return lambda value: _to_date(value, notation)
    if rule_type == "datetime":
        return lambda value: to_moment(value, notation)
    assert_never(rule_type)


def text_cell(value: object) -> str:
    """Text as it came; the plain exact text of a number; `true` or `false`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return plain_text(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise expected("text", value)


def number_reader(notation: Notation) -> Callable[[object], Number | None]:
    """The function from a number or its text to the exact number; None for a blank text."""
    grouped = re.escape(notation.thousands) if notation.thousands != " " else "[ \u00a0\u202f]"
    whole = rf"\d+|\d{{1,3}}(?:{grouped}\d{{3}})+" if notation.thousands else r"\d+"
    point = re.escape(notation.decimal)
    pattern = re.compile(rf"([+-]?)(?:({whole})(?:{point}(\d*))?|{point}(\d+))((?:[eE][+-]?\d{{1,4}})?)", re.ASCII)

    def read(value: object) -> Number | None:
        if is_number(value):
            return value
        if isinstance(value, float):  # only a mapping's author can send one, through the API
            return Decimal(repr(value))
        if not isinstance(value, str):
            raise expected("a number", value)
        text = value.strip()
        if not text:
            return None
        match = pattern.fullmatch(text) if len(text) <= MAX_NUMBER_CHARS else None
        if match is None:
            raise expected("a number", value)
        sign, digits, fraction, bare, exponent = match.groups()
        integer = re.sub(r"\D", "", digits) if digits else "0"
        return Decimal(f"{sign}{integer}.{fraction or bare or ''}{exponent}")

    return read


def text_number(notation: Notation) -> ReadNumber | None:
    """`to_number` of an expression's texts, as the source writes numbers; None where it writes them as JSON does."""
    if (notation.decimal, notation.thousands) == (".", ""):
        return None
    read = number_reader(notation)

    def number(text: str) -> Number | None:
        try:
            return read(text)
        except FieldError:
            return None

    return number


def to_moment(value: object, notation: Notation) -> datetime | None:
    """An aware time; None for a blank text. Raises FieldError."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, datetime.min.time(), notation.zone)
    if notation.form in EPOCHS:
        return _since_epoch(value, notation, _time_form(notation))
    if not isinstance(value, str):
        raise expected(_time_form(notation), value)
    text = value.strip()
    if not text:
        return None
    try:
        return parse_datetime(text, notation.zone, notation.form)
    except ValueError:
        raise expected(_time_form(notation), value) from None


def _since_epoch(value: object, notation: Notation, what: str) -> datetime | None:
    number = number_reader(notation)(value)
    try:
        return None if number is None else epoch_moment(number, str(notation.form)).astimezone(notation.zone)
    except (ArithmeticError, ValueError):
        raise expected(what, value) from None


def _to_date(value: object, notation: Notation) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    what = f"a date in the format {notation.form}" if notation.form else "a date (YYYY-MM-DD)"
    if notation.form in EPOCHS:
        return None if (moment := _since_epoch(value, notation, what)) is None else moment.date()
    if not isinstance(value, str):
        raise expected(what, value)
    text = value.strip()
    if not text:
        return None
    try:
        return parse_date(text, notation.form)
    except ValueError:
        raise expected(what, value) from None


def _time_form(notation: Notation) -> str:
    return f"a time in the format {notation.form}" if notation.form else "a time (RFC 3339)"


def _numeric_cell(number: Number | None, value: object) -> Cell:
    if number is None:
        return None
    if isinstance(number, Decimal):
        if not number.is_finite():
            raise expected("a number", value)
        if not number:
            return format(number.copy_abs(), "f") if -MAX_NUMERIC_DIGITS <= number.adjusted() < 0 else "0"
        if not -MAX_NUMERIC_DIGITS <= number.adjusted() < MAX_NUMERIC_DIGITS:
            raise expected(f"at most {MAX_NUMERIC_DIGITS} digits on each side of the point", value)
    return plain_text(number)


def _integer_cell(number: Number | None, value: object) -> Cell:
    if number is None:
        return None
    if isinstance(number, Decimal):
        if not number.is_finite() or number.adjusted() > MAX_NUMERIC_DIGITS or number != number.to_integral_value():
            raise expected("a whole number", value)
        number = int(number)
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise expected(f"a whole number up to {MAX_INTEGER}", value)
    return str(number)


def _time_reader(notation: Notation) -> Coercer:
    if notation.form is not None:
        return lambda value: _time_cell(value, notation)

    def read(value: object) -> Cell:
        if isinstance(value, str):
            try:
                if (cell := canonical_utc_text(value)) is not None:
                    return cell
            except ValueError:
                raise expected(_time_form(notation), value) from None
        return _time_cell(value, notation)

    return read


def _time_cell(value: object, notation: Notation) -> Cell:
    moment = to_moment(value, notation)
    try:
        return None if moment is None else utc_text(moment)
    except OverflowError:
        raise expected("a time between the years 1 and 9999", value) from None


_BOOLEANS = {"true": True, "yes": True, "y": True, "t": True, "1": True} | {
    "false": False,
    "no": False,
    "n": False,
    "f": False,
    "0": False,
}


def _to_boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if is_number(value) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        text = value.strip().lower()
        if not text:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
    raise expected("true or false", value)
