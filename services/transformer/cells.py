"""The gate to the writer: pydantic checks every mapped record against types built from the fields' list.

Coercion makes the texts, these types say what a text of each type may be, whatever made it. A cell that passes is one
that Postgres takes.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # before Python 3.12 pydantic takes no other

from services.transformer.coerce import shown
from shared.contracts.ids import Entity
from shared.contracts.records import (
    FIELDS,
    LINE_FIELDS,
    MAX_NUMERIC_DIGITS,
    MAX_TEXT_CHARS,
    NUMERIC_PATTERN,
    Cell,
    FieldSpec,
    FieldType,
)

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_PATTERNS: dict[FieldType, str] = {
    "text": r"^[^\x00]*$",
    "numeric": NUMERIC_PATTERN,
    "integer": r"^-?[0-9]{1,10}$",
    "date": rf"^{_DAY}$",
    "timestamptz": rf"^{_DAY}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,6}})?\+00:00$",
}
_REASONS: dict[FieldType, str] = {
    "text": "expected text without NUL characters",
    "numeric": f"expected at most {MAX_NUMERIC_DIGITS} digits on each side of the point",
    "integer": "expected a whole number",
    "date": "expected a date between the years 1 and 9999",
    "timestamptz": "expected a time between the years 1 and 9999",
}


class CellModel:
    """Checks the cells of one kind of record."""

    def __init__(self, name: str, fields: Sequence[FieldSpec]) -> None:
        # A dict in, a dict out: half the time of a model, which sets a default for every field that a record lacks.
        shape = TypedDict(name, {spec.name: _annotation(spec) | None for spec in fields}, total=False)  # type: ignore[misc] # made of data
        strict = with_config(ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True))
        self._check = TypeAdapter(strict(shape)).validator.validate_python
        self._specs = {spec.name: spec for spec in fields}

    def problems(self, cells: Mapping[str, Cell]) -> list[tuple[str, str]]:
        """(field, reason) of each cell that may not pass; normally none. Cells that are None may be left out."""
        try:
            self._check(cells)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
            return [self._problem(str(one["loc"][0]), one["type"], cells) for one in found]
        return []

    def _problem(self, name: str, kind: str, cells: Mapping[str, Cell]) -> tuple[str, str]:
        spec = self._specs[name]
        if kind == "string_too_long":
            return name, f"expected at most {MAX_TEXT_CHARS} characters"
        if kind == "string_unicode":
            return name, "expected text without lone surrogates"
        if kind == "literal_error":
            return name, f"expected one of {', '.join(spec.values)}, got {shown(cells.get(name))}"
        return name, _REASONS[spec.type]


class ColumnCheck:
    """Checks what one field has in many records, by the rules of CellModel and in a fraction of its time."""

    def __init__(self, spec: FieldSpec) -> None:
        self._check = _column_adapter(spec.type, spec.values).validator.validate_python

    def doubtful(self, column: list[Cell]) -> set[int]:
        """The places of the cells that may not pass; normally none."""
        try:
            self._check(column)
        except ValidationError as error:
            return {int(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)}
        return set()


@cache
def _column_adapter(field_type: FieldType, values: tuple[str, ...]) -> TypeAdapter[Any]:
    strict = ConfigDict(strict=True, hide_input_in_errors=True)
    return TypeAdapter(list[_annotation(FieldSpec("", field_type, values)) | None], config=strict)  # type: ignore[misc, arg-type] # made of data


def _annotation(spec: FieldSpec) -> Any:
    if spec.values:
        return Literal[spec.values]
    return Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS, pattern=_PATTERNS[spec.type])]


MODELS: dict[Entity, CellModel] = {entity: CellModel(entity, fields) for entity, fields in FIELDS.items()}
LINE_MODEL = CellModel("purchase_order_line", LINE_FIELDS)
