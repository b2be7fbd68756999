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


Convert = Callable[[object], Cell]
"""The value that a rule's path found to the cell. Raises FieldError."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """Where a cell comes from, and what becomes of the value found there."""

    spec: FieldSpec
    path: CompiledPath | None
    """None for a constant."""
    convert: Convert
    notation: Notation
    own_type_alone: bool = False
    """Whether `convert` is the field's own type and at most a default: no words mapped, no type before it."""
    keeps_null: bool = True
    """Whether a null stays one, neither filled by a default nor refused."""

    def cell(self, record: RawRecord) -> Cell:
        """Raises FieldError or ExpressionError."""
        return self.convert(None if self.path is None else self.path.get(record))


def compile_rule(spec: FieldSpec, rule: FieldRule, notation: Notation, compile_path: Compile) -> CompiledRule:
    """Raises MappingError that names the field."""
    notation = _with_format(spec, rule, notation)
    if rule.path is None:
        constant = _written(spec, rule, notation, rule.constant, "constant")
        if constant is None and rule.required:
            raise MappingError(f"field {spec.name}: is required, but its constant is null")
        return CompiledRule(spec, None, lambda _: constant, notation)
    path = compile_path(f"field {spec.name}", rule.path)
    if not (rule.map or rule.type or rule.required) and rule.default is None:
        return plain_rule(spec, path, notation)
    full = _Full(
        words={text: _word(spec, rule, notation, value) for text, value in (rule.map or {}).items()},
        converter=converter(rule.type, notation) if rule.type else None,
        coerce=coercer(spec.type, notation),
        blank_is_null=spec.type != "text" or bool(spec.values) or rule.type not in (None, "string"),
        default=_written(spec, rule, notation, rule.default, "default"),
        required=rule.required,
    )
    return CompiledRule(spec, path, full, notation, not (rule.map or rule.type), keeps_null=False)


def plain_rule(spec: FieldSpec, path: CompiledPath, notation: Notation) -> CompiledRule:
    """The rule that takes the path's value for the field, no more."""
    convert = _plain(coercer(spec.type, notation), spec.type != "text" or bool(spec.values))
    return CompiledRule(spec, path, convert, notation, own_type_alone=True)


def _plain(coerce: Coercer, blank_is_null: bool) -> Convert:
    if not blank_is_null:
        return lambda value: value if type(value) is str or value is None else coerce(value)

    def cell(value: object) -> Cell:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        return coerce(value)

    return cell


@dataclass(frozen=True, slots=True)
class _Full:
    """A rule with all its parts, in order: map, type, map again, default, required, the field's own type."""

    words: dict[str, Cell]
    converter: Converter | None
    coerce: Coercer
    blank_is_null: bool
    default: Cell
    required: bool

    def __call__(self, value: object) -> Cell:
        cell = self._mapped(value)
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
        if self.converter is not None:
            value = self.converter(value)
            if self.words and (key := _key(value)) is not None and key in self.words:
                return self.words[key]
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
        raise MappingError(
            f"field {spec.name}: {rule.format!r} is no date format",
            hint="Use tokens (DD.MM.YYYY HH:MM:SS), `unix`, `unix_ms`, or Python's strptime codes.",
        )
    return replace(notation, form=rule.format)


def _word(spec: FieldSpec, rule: FieldRule, notation: Notation, value: object) -> Cell:
    """The cell of a word that `map` gives: of the rule's type, or else of the field's own.

    `"type": "boolean", "map": {"true": "active"}` reads Yes, y and 1 alike, then names what was read.
    """
    try:
        return _written(spec, rule, notation, value, "map")
    except MappingError:
        if rule.type is None:
            raise
        return _written(spec, rule.model_copy(update={"type": None}), notation, value, "map")


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
