"""Many records at once: each rule makes a column of cells, in a fraction of what the cells cost one by one.

Most columns hold one type in its commonest form, which a few calls on the whole column can tell and convert. Whatever
is not told so is converted by the rule itself. A record whose cell raises, or does not pass the check, is *doubtful*:
its place is noted, its cells here mean nothing, and the caller maps it alone. So what is wrong is judged in one way.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import TypeVar

from services.transformer.cells import ColumnCheck
from services.transformer.coerce import MAX_INTEGER, FieldError, Notation
from services.transformer.rules import CompiledRule, Convert
from services.transformer.times import utc_text
from shared.contracts.messages import RawRecord
from shared.contracts.records import Cell, FieldSpec
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath

_Source = TypeVar("_Source")
_Found = TypeVar("_Found")
Values = list[object]
Quick = Callable[[Values], list[Cell] | None]
"""A whole column of values to its cells; None when a value is not of the form that it knows."""

_TEXTS = frozenset((str, NoneType))
_INTEGERS = frozenset((int, NoneType))
_NUMBERS = _INTEGERS | {Decimal}
_KEYS = _INTEGERS | {str}


def _lines_of(pattern: str) -> re.Pattern[str]:
    """Lines that are empty or match; possessive, so that what does not match costs no more than what does."""
    return re.compile(rf"(?:(?:{pattern})?+\n)*+")


_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"  # so written for speed
_DATES = _lines_of(_DAY)
_SECOND = f"{_DAY}T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
_UTC_TIMES = _lines_of(f"{_SECOND}Z")
_TIMES = _lines_of(rf"{_SECOND}(?:\.[0-9]{{1,6}})?+(?:Z|[+-][0-9][0-9]:[0-9][0-9])?+")


class Columns:
    """The rules of one kind of record. Holds no state of a batch."""

    def __init__(self, fields: Sequence[FieldSpec], rules: Iterable[CompiledRule]) -> None:
        self._width = len(fields)
        names = [spec.name for spec in fields]
        self._columns = tuple((names.index(rule.spec.name), _Column(rule)) for rule in rules)

    def read(self, records: Sequence[RawRecord], doubtful: set[int]) -> list[list[Cell]]:
        """One column for each of the fields, in their order; adds the places of doubtful records."""
        empty: list[Cell] = [None] * len(records)
        columns = [empty] * self._width
        if not records:
            return columns
        for index, column in self._columns:
            columns[index] = column.read(records, doubtful)
        return columns


class _Column:
    def __init__(self, rule: CompiledRule) -> None:
        self._rule = rule
        self._quick = _quick(rule.spec, rule.notation) if rule.own_type_alone else None
        self._check = ColumnCheck(rule.spec)

    def read(self, records: Sequence[RawRecord], doubtful: set[int]) -> list[Cell]:
        rule = self._rule
        if rule.path is None:
            column = [rule.convert(None)] * len(records)
        else:
            column = self._converted(values_of(rule.path, records, doubtful), doubtful)
        doubtful |= self._check.doubtful(column)
        return column

    def _converted(self, values: Values, doubtful: set[int]) -> list[Cell]:
        if self._quick is not None:
            cells = self._quick(values)
            if cells is not None and (self._rule.keeps_null or None not in cells):
                return cells
        return _one_by_one(self._rule.convert, values, doubtful)


def values_of(path: CompiledPath, records: Sequence[RawRecord], doubtful: set[int]) -> Values:
    """What the path finds in each record; None, and a doubt, where it cannot be evaluated."""
    if path.is_name:
        name = path.text
        return [record.get(name) for record in records]
    try:
        return list(map(path.get, records))
    except ExpressionError:
        return _each(path.get, records, doubtful)


def key_texts(values: Values) -> list[str | None] | None:
    """Texts as they are and integers as text; None when there is any other value."""
    types = set(map(type, values))
    if types <= _TEXTS:
        return values  # type: ignore[return-value] # just found out
    if not types <= _KEYS:
        return None
    try:
        return [str(value) if type(value) is int else value for value in values]  # type: ignore[misc] # as above
    except ValueError:  # more digits than Python writes
        return None


def utc_moments(values: Values, zone: tzinfo) -> list[datetime | None] | None:
    """The times of RFC 3339 texts, in UTC; None for null and empty. None when there is any other value."""
    text = _joined(values, _TIMES)
    if text is None:
        return None
    try:
        return [_utc(line, zone) if line else None for line in text.split("\n")]
    except (ValueError, OverflowError):  # the 30th of February; a time that is in the year 0 in UTC
        return None


def _utc(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)


def _quick(spec: FieldSpec, notation: Notation) -> Quick | None:
    if spec.type == "text":
        return None if spec.values else key_texts
    if spec.type == "numeric":
        return _numeric_quick(notation.decimal)
    if spec.type == "integer":
        return _integers
    if notation.form is not None:
        return None
    return _dates if spec.type == "date" else partial(_times, zone=notation.zone)


def _numeric_quick(point: str) -> Quick:
    # Written as Postgres writes it, but for the point: no plus, no leading zeros, no negative zero.
    plain = _lines_of(rf"(?:-(?![0{point}]*\n))?+(?:0|[1-9][0-9]*+)(?:{re.escape(point)}[0-9]++)?+")

    def quick(values: Values) -> list[Cell] | None:
        if set(map(type, values)) <= _NUMBERS:
            return _numbers(values)
        text = _joined(values, plain)
        return None if text is None else _cells(text.replace(point, "."))

    return quick


def _numbers(values: Values) -> list[Cell] | None:
    try:
        cells = [None if value is None else str(value) for value in values]
    except ValueError:  # more digits than Python writes
        return None
    text = " ".join(filter(None, cells))
    return None if "E" in text or "-0" in text else cells  # an exponent, or perhaps a negative zero


def _integers(values: Values) -> list[Cell] | None:
    if not set(map(type, values)) <= _INTEGERS:
        return None
    cells: list[Cell] = []
    for value in values:
        if value is not None and not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator] # just found out
            return None
        cells.append(None if value is None else str(value))
    return cells


def _dates(values: Values) -> list[Cell] | None:
    text = _joined(values, _DATES)
    if text is None:
        return None
    cells = _cells(text)
    return cells if _all_valid(date.fromisoformat, cells) else None


def _times(values: Values, zone: tzinfo) -> list[Cell] | None:
    text = _joined(values, _UTC_TIMES)
    if text is not None and _all_valid(datetime.fromisoformat, text.split("\n")):
        return _cells(text.replace("Z", "+00:00"))
    moments = utc_moments(values, zone)
    return None if moments is None else [None if moment is None else utc_text(moment) for moment in moments]


def _all_valid(parse: Callable[[str], object], texts: Iterable[str | None]) -> bool:
    try:
        list(map(parse, filter(None, texts)))
    except ValueError:
        return False
    return True


def _joined(values: Values, lines: re.Pattern[str]) -> str | None:
    """The texts as lines, empty ones for null; None unless all are texts that match."""
    if not set(map(type, values)) <= _TEXTS:
        return None
    text: str = "\n".join([value or "" for value in values])  # type: ignore[misc] # just found out
    # A value that has a line break of its own must not pass for two.
    return text if text.count("\n") == len(values) - 1 and lines.fullmatch(text + "\n") else None


def _cells(lines: str) -> list[Cell]:
    cells: list[Cell] = list(lines.split("\n"))
    return [cell or None for cell in cells] if "" in cells else cells


def _one_by_one(convert: Convert, values: Values, doubtful: set[int]) -> list[Cell]:
    if set(map(type, values)) <= _TEXTS:
        words = list(set(values))
        if len(words) * 2 <= len(values):
            return _word_by_word(convert, words, values, doubtful)
    return _each(convert, values, doubtful)


def _word_by_word(convert: Convert, words: Values, values: Values, doubtful: set[int]) -> list[Cell]:
    """As `_each`, of few texts that come again and again: a status, a unit, a day."""
    failed: set[int] = set()
    known = dict(zip(words, _each(convert, words, failed), strict=True))
    if failed:
        wrong = {words[place] for place in failed}
        doubtful.update(place for place, value in enumerate(values) if value in wrong)
    return [known[value] for value in values]


def _each(convert: Callable[[_Source], _Found], sources: Sequence[_Source], doubtful: set[int]) -> list[_Found | None]:
    found: list[_Found | None] = []
    for place, source in enumerate(sources):
        try:
            found.append(convert(source))
        except (FieldError, ExpressionError):
            doubtful.add(place)
            found.append(None)
    return found
