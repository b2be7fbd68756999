"""The mapping engine: raw records to rows. One bad record becomes a reject and never touches another."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.transformer.cells import MODELS
from services.transformer.coerce import FieldError, Notation, expected, text_cell, to_moment
from services.transformer.extra import extra_text, raw_text
from services.transformer.lines import FIELD as LINES
from services.transformer.lines import LineError, LineMapper, Lines, is_line_list
from services.transformer.rules import CompiledRule, compile_rule, plain_rule
from services.transformer.times import unix_moment
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldRule
from shared.contracts.messages import RawRecord
from shared.contracts.records import FIELDS, REQUIRED_ANY, Cell, RecordReject, Row
from shared.errors import MappingError
from shared.expressions.exact import is_number
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath, compile_expression, compile_path, name_path
from shared.expressions.values import is_false

MAX_EXTERNAL_ID_BYTES = 1_000
"""An external id is part of unique indexes, whose entries Postgres bounds at about 2700 bytes."""
_CHANGE_TIME = "source_updated_at"


@dataclass(slots=True)
class Mapped:
    """What a batch became: every record is a row, a reject or filtered."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[RecordReject] = field(default_factory=list)
    filtered: int = 0
    max_updated_at: datetime | None = None
    """The newest valid change time of all records, also of those filtered or rejected."""


_Problems = list[tuple[str, str]]
"""(field, reason) of what is wrong with a record."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What one record became, for a person: a row, filtered, or every problem it has."""

    external_id: str | None = None
    filtered: bool = False
    row: Row | None = None
    problems: tuple[tuple[str, str], ...] = ()


def compile_mapping(entity: Entity, mapping: EntityMapping) -> "Mapper":
    """The mapper of one entity. MappingError names the field or the part of the mapping that is wrong."""
    return Mapper(entity, mapping)


class Mapper:
    """A compiled mapping. Holds no state of a batch, so it may be used by many."""

    def __init__(self, entity: Entity, mapping: EntityMapping) -> None:
        self._model = MODELS[entity]
        self._width = len(FIELDS[entity])
        names = [spec.name for spec in FIELDS[entity]]
        self._required = tuple(names.index(name) for name in REQUIRED_ANY[entity])
        self._required_names = REQUIRED_ANY[entity]
        self._change_index = names.index(_CHANGE_TIME)
        self._doubtful: list[tuple[str, MappingError]] = []
        self._notation = _notation(mapping)
        self._id = self._path("id_path", mapping.id_path)
        self._filter = _filter(mapping.filter)
        self._changed = self._path("updated_at_path", mapping.updated_at_path) if mapping.updated_at_path else None
        self._rules = self._compile_rules(entity, mapping)
        self._lines = self._compile_lines(entity, mapping)
        self._implicit_lines = self._lines is not None and mapping.fields is None
        self._indexed = tuple((names.index(rule.name), rule.name, rule.cell) for rule in self._rules)
        change_rule = (mapping.fields or {}).get(_CHANGE_TIME)
        self._change_notation = replace(self._notation, form=change_rule.format if change_rule else None)
        self._paths = self._used_paths()
        self._static_used = frozenset().union(*(path.fields for path in self._paths))
        self._texts = frozenset(path.text for path in self._paths) - self._static_used

    def apply(self, records: Sequence[object]) -> Mapped:
        """Map a whole batch. Raises MappingError as `verify` does."""
        self.verify(records)
        mapped = Mapped()
        self.map_into(mapped, records)
        return mapped

    def verify(self, records: Sequence[object]) -> None:
        """Settle what only a batch can tell: `Price (USD)` is a name if any record has that field, else a bad
        expression. Raises MappingError.
        """
        for name, error in self._doubtful:
            if records and not any(isinstance(record, dict) and name in record for record in records):
                raise error

    def map_into(self, mapped: Mapped, records: Sequence[object]) -> None:
        """Map some records of a verified batch."""
        for record in records:
            if not isinstance(record, dict):
                mapped.rejects.append(_reject(record, None, None, expected("an object", record).reason))
                continue
            changed = self._change_time(record)
            if changed is not None and (mapped.max_updated_at is None or changed > mapped.max_updated_at):
                mapped.max_updated_at = changed
            external_id, problem = self._external_id(record)
            try:
                filtered = self._filter is not None and is_false(self._filter.get(record))
            except ExpressionError as error:
                mapped.rejects.append(_reject(record, external_id, "filter", str(error)))
                continue
            if filtered:
                mapped.filtered += 1
            elif external_id is None:
                mapped.rejects.append(_reject(record, None, "external_id", problem))
            else:
                row = self._row(record, external_id, changed)
                if isinstance(row, Row):
                    mapped.rows.append(row)
                else:
                    more = f" ({len(row)} fields are wrong)" if len(row) > 1 else ""
                    name, reason = row[0]
                    mapped.rejects.append(_reject(record, external_id, name, reason + more))

    def explain(self, record: object) -> Explained:
        """As `map_into` judges it, with all of its problems instead of the first."""
        if not isinstance(record, dict):
            return Explained(problems=(("record", expected("an object", record).reason),))
        external_id, problem = self._external_id(record)
        problems = [] if external_id is not None else [("external_id", problem)]
        try:
            if self._filter is not None and is_false(self._filter.get(record)):
                return Explained(external_id, filtered=True)
        except ExpressionError as error:
            problems.append(("filter", str(error)))
        row = self._row(record, external_id or "", self._change_time(record))
        if not isinstance(row, Row):
            problems += row
        if problems or not isinstance(row, Row):
            return Explained(external_id, problems=tuple(problems))
        return Explained(external_id, row=row)

    def _row(self, record: RawRecord, external_id: str, changed: datetime | None) -> Row | _Problems:
        cells: list[Cell] = [None] * self._width
        values: dict[str, Cell] = {}
        problems: _Problems = []
        for index, name, cell in self._indexed:
            try:
                value = cell(record)
            except (FieldError, ExpressionError) as error:
                problems.append((name, str(error)))
                continue
            if value is not None:
                cells[index] = values[name] = value
        problems += self._model.problems(values)
        if changed is not None and cells[self._change_index] is None:
            cells[self._change_index] = changed.isoformat()
        lines = self._map_lines(record, problems) if self._lines is not None else None
        if not problems:
            for index in self._required:
                if cells[index]:
                    return Row(external_id, cells, extra_text(self._unmapped(record)), lines)
            names = " or ".join(self._required_names)
            problems.append((self._required_names[0], f"expected a value for {names}, got none"))
        return problems

    def _map_lines(self, record: RawRecord, problems: _Problems) -> Lines | None:
        assert self._lines is not None
        try:
            return self._lines.map(record)
        except LineError as error:
            problems.append((error.place, str(error)))
        except (FieldError, ExpressionError) as error:
            problems.append((LINES, str(error)))
        return None

    def _external_id(self, record: RawRecord) -> tuple[str | None, str]:
        """The key's text, else None and what is wrong with it."""
        try:
            value = self._id.get(record)
        except ExpressionError as error:
            return None, str(error)
        if isinstance(value, bool):
            return None, expected("a key", value).reason
        text = ""
        try:
            text = "" if value is None else text_cell(value)
            size = len(text.encode())
        except FieldError as error:
            return None, error.reason
        except UnicodeEncodeError:
            size = -1
        if not text.strip():
            return None, "expected a key, got none"
        if not 0 < size <= MAX_EXTERNAL_ID_BYTES or "\0" in text:
            return None, f"expected at most {MAX_EXTERNAL_ID_BYTES} bytes, without NUL characters and lone surrogates"
        return text, ""

    def _change_time(self, record: RawRecord) -> datetime | None:
        """The record's own change time in UTC; None where there is none that can be read."""
        if self._changed is None:
            return None
        try:
            value = self._changed.get(record)
            if is_number(value):
                return unix_moment(value)
            moment = None if value is None else to_moment(value, self._change_notation)
            return None if moment is None else moment.astimezone(UTC)
        except (FieldError, ExpressionError, OverflowError, ValueError, OSError):
            return None

    def _unmapped(self, record: RawRecord) -> RawRecord:
        used = self._static_used
        if not self._texts.isdisjoint(record):  # a field is named like an expression, and then is what was meant
            used = frozenset().union(*({path.text} if path.text in record else path.fields for path in self._paths))
        if self._implicit_lines and LINES in record and not is_line_list(record[LINES]):
            used -= {LINES}
        unmapped = record.copy()
        for key in used:
            unmapped.pop(key, None)
        return unmapped

    def _path(self, what: str, text: str) -> CompiledPath:
        try:
            return compile_path(text)
        except MappingError as error:
            named = MappingError(f"{what}: {error.message}", hint=error.hint)
            if not text.strip():
                raise named from None
            self._doubtful.append((text, named))
            return name_path(text)

    def _compile_rules(self, entity: Entity, mapping: EntityMapping) -> tuple[CompiledRule, ...]:
        if mapping.fields is None:
            return tuple(plain_rule(spec, name_path(spec.name), self._notation) for spec in FIELDS[entity])
        specs = {spec.name: spec for spec in FIELDS[entity]}
        known = set(specs) | ({LINES} if entity == "purchase_orders" else set())
        for name in mapping.fields:
            if name not in known:
                hint = f"The fields of {entity} are {', '.join(sorted(known))}."
                raise MappingError(f"{entity} has no field {name[:60]!r}", hint=hint)
        rules: dict[str, FieldRule] = mapping.fields
        return tuple(
            compile_rule(spec, rules[name], self._notation, self._path) for name, spec in specs.items() if name in rules
        )

    def _compile_lines(self, entity: Entity, mapping: EntityMapping) -> LineMapper | None:
        if entity != "purchase_orders" or (mapping.fields is not None and LINES not in mapping.fields):
            return None
        return LineMapper(self._notation, mapping.fields[LINES] if mapping.fields else None, self._path)

    def _used_paths(self) -> tuple[CompiledPath, ...]:
        lines = self._lines.path if self._lines else None
        paths = (self._id, self._changed, lines, *(rule.path for rule in self._rules))
        return tuple(path for path in paths if path is not None)


def _reject(record: object, external_id: str | None, name: str | None, reason: str) -> RecordReject:
    return RecordReject(external_id=external_id, field=name, reason=reason, raw=raw_text(record))


def _filter(text: str | None) -> CompiledPath | None:
    if text is None:
        return None
    try:
        return compile_expression(text)
    except MappingError as error:
        raise MappingError(f"filter: {error.message}", hint=error.hint) from None


def _notation(mapping: EntityMapping) -> Notation:
    if mapping.decimal == mapping.thousands:
        raise MappingError("the decimal and the thousands separator are the same")
    try:
        zone = ZoneInfo(mapping.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MappingError(
            f"{mapping.time_zone[:60]!r} is no time zone", hint="Use an IANA name, as Europe/Berlin."
        ) from None
    return Notation(mapping.decimal, mapping.thousands, zone)
