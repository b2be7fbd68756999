"""The lines of a purchase order: one value that is a list of objects, each with the fields of a line."""

from collections.abc import Callable

from services.transformer.cells import LINE_MODEL
from services.transformer.coerce import FieldError, Notation, expected
from services.transformer.rules import Compile, CompiledRule, plain_rule
from shared.contracts.mapping import FieldRule
from shared.contracts.messages import RawRecord
from shared.contracts.records import LINE_FIELDS, MAX_LINES, Cell
from shared.errors import MappingError
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
        self._cells = tuple(plain_rule(spec, name_path(spec.name), notation) for spec in LINE_FIELDS)
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
        if not self._explicit and not is_line_list(record.get(FIELD)):
            return None
        value = self._get(record)
        if value is None or (isinstance(value, str) and not value.strip()):
            value = self._default
            if value is None and self._required:
                raise FieldError("is required, but has no value")
        return self.map_list([] if value is None else value)

    def map_list(self, value: object) -> Lines:
        """As `map`, of the list itself."""
        if not isinstance(value, list):
            raise expected("a list of objects", value)
        if len(value) > MAX_LINES:
            raise FieldError(f"expected at most {MAX_LINES} lines, got {len(value)}")
        lines: Lines = []
        numbers: set[str] = set()
        for index, element in enumerate(value):
            line = self._line(index, element)
            number = line[0] or str(index + 1)
            if number in numbers:
                raise LineError(f"{FIELD}[{index}].line_number", f"expected a number of its own, {number} is taken")
            numbers.add(number)
            line[0] = number
            lines.append(line)
        return lines

    def _line(self, index: int, element: object) -> list[Cell]:
        if not isinstance(element, dict):
            raise LineError(f"{FIELD}[{index}]", expected("an object", element).reason)
        cells: dict[str, Cell] = {}
        for rule in self._cells:
            cells[rule.name] = _cell(rule, element, index)
        for name, reason in LINE_MODEL.problems(cells):
            raise LineError(f"{FIELD}[{index}].{name}", reason)
        return list(cells.values())


def is_line_list(value: object) -> bool:
    """Whether a raw field named `lines` can be taken for an order's lines when no mapping says so."""
    return isinstance(value, list) and all(isinstance(element, dict) for element in value)


def _cell(rule: CompiledRule, element: RawRecord, index: int) -> Cell:
    try:
        return rule.cell(element)
    except FieldError as error:
        raise LineError(f"{FIELD}[{index}].{rule.name}", error.reason) from None
