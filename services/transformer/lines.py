"""The lines of a purchase order: one value that is a list of objects, each with the fields of a line."""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from services.transformer.cells import LINE_MODEL
from services.transformer.coerce import FieldError, Notation, expected
from services.transformer.columns import Columns
from services.transformer.rules import Compile, CompiledRule, plain_rule
from shared.contracts.mapping import FieldRule
from shared.contracts.messages import RawRecord
from shared.contracts.records import LINE_FIELDS, MAX_LINES, Cell
from shared.errors import MappingError
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath, name_path

FIELD = "lines"
Lines = list[list[Cell]]


class LineError(FieldError):
    """`place` is the field within the order: `lines[2].quantity`, counted from 0 as in JMESPath."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(reason)
        self.place = place


class LineMapper:
    """Maps the value of `lines`. `path` is None for a constant."""

    def __init__(self, notation: Notation, rule: FieldRule | None, compile_path: Compile) -> None:
        self._rules = tuple(plain_rule(spec, name_path(spec.name), notation) for spec in LINE_FIELDS)
        self._columns = Columns(LINE_FIELDS, self._rules)
        self._default: object = None
        self._required = False
        self._explicit = rule is not None
        self.path: CompiledPath | None = name_path(FIELD)
        self._get: Callable[[RawRecord], object] = self.path.get
        if rule is not None:
            self._configure(rule, compile_path)

    def _configure(self, rule: FieldRule, compile_path: Compile) -> None:
        if rule.type or rule.format or rule.map:
            raise MappingError("field lines: takes path, constant, default and required only")
        self._default, self._required = rule.default, rule.required
        if rule.path is None:
            constant = rule.constant
            self.path, self._get = None, lambda _: constant
        else:
            self.path = compile_path("field lines", rule.path)
            self._get = self.path.get
        for what, value in (("constant", rule.constant), ("default", rule.default)):
            try:
                self.map_list([] if value is None else value)
            except FieldError as error:
                raise MappingError(f"field lines: {what}: {error.reason}") from None

    def map(self, record: RawRecord) -> Lines | None:
        """The lines' cells in the order of LINE_FIELDS; None when the record has none and no rule asks for them.

        Raises FieldError (LineError where one line is at fault) and ExpressionError.
        """
        elements = self._elements(record)
        return None if elements is None else self.map_list(elements)

    def column(self, records: Sequence[RawRecord], doubtful: set[int]) -> list[Lines | None]:
        """As `map` of each, with the lines of all as one batch; adds the places of the records where it would raise."""
        ends: list[int | None] = []
        elements: list[Any] = []
        for place, record in enumerate(records):
            try:
                found = self._elements(record)
            except (FieldError, ExpressionError):
                found = None
                doubtful.add(place)
            if found is not None and not is_line_list(found):
                found = None
                doubtful.add(place)
            elements += found or ()
            ends.append(None if found is None else len(elements))
        wrong: set[int] = set()
        columns = self._columns.read(elements, wrong)
        lines = list(map(list, zip(*columns, strict=True)))
        return self._regrouped(lines, ends, wrong, doubtful)

    def map_list(self, value: object) -> Lines:
        """As `map`, of the list itself."""
        lines: Lines = []
        numbers: set[str] = set()
        for index, element in enumerate(_line_list(value)):
            line = self._line(index, element)
            number = line[0] or str(index + 1)
            if number in numbers:
                raise LineError(f"{FIELD}[{index}].line_number", f"expected a number of its own, {number} is taken")
            numbers.add(number)
            line[0] = number
            lines.append(line)
        return lines

    def _regrouped(
        self, lines: Lines, ends: Sequence[int | None], wrong: set[int], doubtful: set[int]
    ) -> list[Lines | None]:
        orders: list[Lines | None] = []
        start = 0
        for place, end in enumerate(ends):
            if end is None:
                orders.append(None)
                continue
            order = lines[start:end]
            if not wrong.isdisjoint(range(start, end)) or not _number(order):
                doubtful.add(place)
            orders.append(order)
            start = end
        return orders

    def _elements(self, record: RawRecord) -> list[object] | None:
        """What is to be mapped to lines, at most MAX_LINES; None as `map` does."""
        if not self._explicit and not is_line_list(record.get(FIELD)):
            return None
        value = self._get(record)
        if value is None or (isinstance(value, str) and not value.strip()):
            value = self._default
            if value is None and self._required:
                raise FieldError("is required, but has no value")
        return _line_list([] if value is None else value)

    def _line(self, index: int, element: object) -> list[Cell]:
        if not isinstance(element, dict):
            raise LineError(f"{FIELD}[{index}]", expected("an object", element).reason)
        cells: dict[str, Cell] = {}
        for rule in self._rules:
            cells[rule.spec.name] = _cell(rule, element, index)
        for name, reason in LINE_MODEL.problems(cells):
            raise LineError(f"{FIELD}[{index}].{name}", reason)
        return list(cells.values())


def is_line_list(value: object) -> TypeGuard[list[RawRecord]]:
    """Whether a raw field named `lines` can be taken for an order's lines when no mapping says so."""
    return isinstance(value, list) and all(isinstance(element, dict) for element in value)


def _line_list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise expected("a list of objects", value)
    if len(value) > MAX_LINES:
        raise FieldError(f"expected at most {MAX_LINES} lines, got {len(value)}")
    return value


def _number(lines: Lines) -> bool:
    """Whether every line gets a number of its own: the vendor's, else its position."""
    numbers = [line[0] or str(position) for position, line in enumerate(lines, 1)]
    for line, number in zip(lines, numbers, strict=True):
        line[0] = number
    return len(set(numbers)) == len(numbers)


def _cell(rule: CompiledRule, element: RawRecord, index: int) -> Cell:
    try:
        return rule.cell(element)
    except FieldError as error:
        raise LineError(f"{FIELD}[{index}].{rule.spec.name}", error.reason) from None
