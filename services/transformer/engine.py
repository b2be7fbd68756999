"""The mapping engine: raw records to rows. One bad record becomes a reject and never touches another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import repeat
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.transformer.cells import MODELS
from services.transformer.changes import ChangeTimes
from services.transformer.coerce import FieldError, Notation, expected, text_number
from services.transformer.columns import Columns
from services.transformer.extra import extra_text, extra_texts, raw_text
from services.transformer.keys import Keys
from services.transformer.lines import FIELD as LINES
from services.transformer.lines import LineError, LineMapper, Lines
from services.transformer.rules import CompiledRule, compile_rule, plain_rule
from services.transformer.unmapped import Unmapped
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldRule
from shared.contracts.messages import RawRecord
from shared.contracts.records import CHANGE_TIME, FIELDS, REQUIRED_ANY, Cell, RecordReject, Row
from shared.errors import MappingError
from shared.expressions.limits import ExpressionError, ReadNumber
from shared.expressions.paths import CompiledPath, compile_expression, compile_path, name_path
from shared.expressions.values import is_false


@dataclass(slots=True)
class Mapped:
    """What a batch became: every record is a row, a reject or filtered."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[RecordReject] = field(default_factory=list)
    filtered: int = 0
    max_updated_at: datetime | None = None
    """The newest valid change time of all records, also of those filtered or rejected."""
    one_by_one: int = 0
    """How many of the records were mapped one by one, since their columns left a doubt."""

    def see_change(self, moment: datetime | None) -> None:
        """Take note of a record's change time."""
        if moment is not None and (self.max_updated_at is None or moment > self.max_updated_at):
            self.max_updated_at = moment


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
        self._change_index = names.index(CHANGE_TIME)
        self._doubtful: list[tuple[str, MappingError]] = []
        self._notation = _notation(mapping)
        self._read_number = text_number(self._notation)
        id_path = self._path("id_path", mapping.id_path)
        self._keys = Keys(id_path)
        self._filter = _filter(mapping.filter, self._read_number)
        changed = self._path("updated_at_path", mapping.updated_at_path) if mapping.updated_at_path else None
        self._rules = self._compile_rules(entity, mapping)
        self._lines = self._compile_lines(entity, mapping)
        self._indexed = tuple((names.index(rule.spec.name), rule.spec.name, rule.cell) for rule in self._rules)
        self._columns = Columns(FIELDS[entity], self._rules)
        change_rule = (mapping.fields or {}).get(CHANGE_TIME)
        change_notation = replace(self._notation, form=change_rule.format if change_rule else None)
        self._changes = ChangeTimes(changed, change_notation)
        self._unmapped = Unmapped(
            (id_path, changed, self._lines.path if self._lines else None, *(rule.path for rule in self._rules)),
            implicit_lines=self._lines is not None and mapping.fields is None,
        )

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
        """Map some records of a verified batch: by columns, and whatever is doubtful in them one by one."""
        objects = [record for record in records if type(record) is dict]
        if len(objects) < len(records):
            self.map_each(mapped, records)
            return
        changes = self._changes.column(objects)
        mapped.see_change(max(filter(None, changes), default=None))
        doubtful: set[int] = set()
        if self._filter is not None:
            kept = self._kept(objects, doubtful)
            mapped.filtered += len(objects) - len(kept)
            objects, changes = [objects[place] for place in kept], [changes[place] for place in kept]
        rows = self._rows(objects, changes, doubtful)
        if not doubtful:
            mapped.rows += rows
            return
        for place, row in enumerate(rows):
            if place in doubtful:
                self.map_each(mapped, objects[place : place + 1])
            else:
                mapped.rows.append(row)

    def map_each(self, mapped: Mapped, records: Sequence[object]) -> None:
        """As `map_into`, one by one: what a record becomes is what it becomes here."""
        mapped.one_by_one += len(records)
        for record in records:
            if not isinstance(record, dict):
                mapped.rejects.append(_reject(record, None, None, expected("an object", record).reason))
                continue
            changed = self._changes.read(record)
            mapped.see_change(changed)
            external_id, problem = self._keys.read(record)
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
        external_id, problem = self._keys.read(record)
        problems = [] if external_id is not None else [("external_id", problem)]
        try:
            if self._filter is not None and is_false(self._filter.get(record)):
                return Explained(external_id, filtered=True)
        except ExpressionError as error:
            problems.append(("filter", str(error)))
        row = self._row(record, external_id or "", self._changes.read(record))
        if not isinstance(row, Row):
            problems += row
        if problems or not isinstance(row, Row):
            return Explained(external_id, problems=tuple(problems))
        return Explained(external_id, row=row)

    def _kept(self, records: Sequence[RawRecord], doubtful: set[int]) -> list[int]:
        """The places of the records that the filter keeps; `doubtful` are places in this list."""
        assert self._filter is not None
        kept: list[int] = []
        for place, record in enumerate(records):
            try:
                if is_false(self._filter.get(record)):
                    continue
            except ExpressionError:
                doubtful.add(len(kept))
            kept.append(place)
        return kept

    def _rows(
        self, records: Sequence[RawRecord], changes: Sequence[datetime | None], doubtful: set[int]
    ) -> Iterable[Row]:
        """A row for each record, which means nothing at the places that end up in `doubtful`."""
        keys = self._keys.column(records, doubtful)
        columns = self._columns.read(records, doubtful)
        if self._changes.are_known:
            columns[self._change_index] = [
                changed.isoformat() if cell is None and changed is not None else cell
                for cell, changed in zip(columns[self._change_index], changes, strict=True)
            ]
        wanted = [columns[index] for index in self._required]
        if not all(wanted[0]):
            doubtful.update(place for place, cells in enumerate(zip(*wanted, strict=True)) if not any(cells))
        lines = repeat(None) if self._lines is None else self._lines.column(records, doubtful)
        extras = extra_texts(self._unmapped.column(records))
        return map(Row._make, zip(keys, map(list, zip(*columns, strict=True)), extras, lines, strict=False))

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
                    return Row(external_id, cells, extra_text(self._unmapped.of(record)), lines)
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

    def _path(self, what: str, text: str) -> CompiledPath:
        try:
            return compile_path(text, self._read_number)
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


def _reject(record: object, external_id: str | None, name: str | None, reason: str) -> RecordReject:
    return RecordReject(external_id=external_id, field=name, reason=reason, raw=raw_text(record))


def _filter(text: str | None, read_number: ReadNumber | None) -> CompiledPath | None:
    if text is None:
        return None
    try:
        return compile_expression(text, read_number)
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
