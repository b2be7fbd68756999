"""One mapping rule to one function from a raw record to a cell, with all that can be decided beforehand decided."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from services.transformer.coerce import Coercer, Converter, FieldError, Notation, coercer, converter, shown
from services.transformer.times import is_readable
from shared.contracts.mapping import FieldRule
from shared.contracts.messages import RawRecord
from shared.contracts.records import Cell, FieldSpec
from shared.errors import MappingError
from shared.expressions.exact import is_number, plain_text
from shared.expressions.paths import CompiledPath

Compile = Callable[[str, str], CompiledPath]
"""(what it is for, text) -> path; MappingError says what it is for."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """`cell` raises FieldError or ExpressionError."""

    name: str
    cell: Callable[[RawRecord], Cell]
    path: CompiledPath | None
    """None for a constant."""


def compile_rule(spec: FieldSpec, rule: FieldRule, notation: Notation, compile_path: Compile) -> CompiledRule:
    """Raises MappingError that names the field."""
    notation = _with_format(spec, rule, notation)
    if rule.path is None:
        constant = _written(spec, rule, notation, rule.constant, "constant")
        if constant is None and rule.required:
            raise MappingError(f"field {spec.name}: is required, but its constant is null")
        return CompiledRule(spec.name, lambda _: constant, None)
    path = compile_path(f"field {spec.name}", rule.path)
    coerce = coercer(spec.type, notation)
    blank_is_null = spec.type != "text" or bool(spec.values) or rule.type not in (None, "string")
    if not (rule.map or rule.type or rule.required) and rule.default is None:
        return CompiledRule(spec.name, _plain(path, coerce, blank_is_null), path)
    words = {text: _written(spec, rule, notation, value, "map") for text, value in (rule.map or {}).items()}
    convert = converter(rule.type, notation) if rule.type else None
    default = _written(spec, rule, notation, rule.default, "default")
    full = _Full(path, words, convert, coerce, blank_is_null, default, rule.required)
    return CompiledRule(spec.name, full, path)


def plain_rule(spec: FieldSpec, path: CompiledPath, notation: Notation) -> CompiledRule:
    """The rule that takes the path's value for the field, no more."""
    blank_is_null = spec.type != "text" or bool(spec.values)
    return CompiledRule(spec.name, _plain(path, coercer(spec.type, notation), blank_is_null), path)


def _plain(path: CompiledPath, coerce: Coercer, blank_is_null: bool) -> Callable[[RawRecord], Cell]:
    get = path.get
    if not blank_is_null:

        def text(record: RawRecord) -> Cell:
            value = get(record)
            return value if type(value) is str or value is None else coerce(value)

        return text

    def cell(record: RawRecord) -> Cell:
        value = get(record)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        return coerce(value)

    return cell


@dataclass(frozen=True, slots=True)
class _Full:
    """A rule with all its parts, in order: path, map, type, default, required, the field's own type."""

    path: CompiledPath
    words: dict[str, Cell]
    convert: Converter | None
    coerce: Coercer
    blank_is_null: bool
    default: Cell
    required: bool

    def __call__(self, record: RawRecord) -> Cell:
        cell = self._mapped(self.path.get(record))
        if cell is not None:
            return cell
        if self.default is None and self.required:
            raise FieldError("is required, but has no value")
        return self.default

    def _mapped(self, value: object) -> Cell:
        if value is None:
            return None
        if self.words and (key := _key(value)) is not None and key in self.words:
            return self.words[key]
        if self.blank_is_null and isinstance(value, str) and not value.strip():
            return None
        if self.convert is not None:
            value = self.convert(value)
        return None if value is None else self.coerce(value)


def _key(value: object) -> str | None:
    """The value as a key of `map`; None for what can be none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return plain_text(value) if is_number(value) else None


def _with_format(spec: FieldSpec, rule: FieldRule, notation: Notation) -> Notation:
    if rule.format is None:
        return notation
    if not is_readable(rule.format):
        raise MappingError(f"field {spec.name}: {rule.format!r} is no date format", hint="Use Python's strptime codes.")
    return replace(notation, form=rule.format)


def _written(spec: FieldSpec, rule: FieldRule, notation: Notation, value: object, what: str) -> Cell:
    """The cell of a value that the mapping's author wrote: in our own notation, else in the source's."""
    problem = ""
    for candidate in (Notation(zone=notation.zone), notation):
        try:
            converted = value if value is None or not rule.type else converter(rule.type, candidate)(value)
            if converted is None or (converted == "" and (spec.type != "text" or spec.values)):
                return None
            cell = coercer(spec.type, candidate)(converted)
        except FieldError as error:
            problem = problem or error.reason
            continue
        if spec.values and cell not in spec.values:
            problem = f"expected one of {', '.join(spec.values)}, got {shown(cell)}"
            break
        return cell
    raise MappingError(f"field {spec.name}: {what}: {problem}", hint="Correct the mapping.")
