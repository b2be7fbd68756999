"""The upsert's SQL for one entity: `sql/upsert.sql` with that entity's columns filled in from the contract."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.records import CHANGE_TIME, FIELDS, LINE_FIELDS, FieldSpec
from shared.storage.queries import fill, load_queries


@dataclass(frozen=True, slots=True)
class Statements:
    """Ready statements by name, and the order in which a row's and a line's cells come."""

    sql: Mapping[str, str]
    field_columns: tuple[str, ...]
    line_columns: tuple[str, ...]

    def __getitem__(self, name: str) -> str:
        return self.sql[name]


def _typed(fields: tuple[FieldSpec, ...]) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in fields)


def _listed(names: list[str], prefix: str = "") -> str:
    return ", ".join(prefix + name for name in names)


def _assigned(names: list[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in names)


def _statements(entity: Entity) -> Statements:
    names = [field.name for field in FIELDS[entity]]
    compared = [name for name in names if name != CHANGE_TIME]  # of it (or of `extra`) alone is none
    lines = [field.name for field in LINE_FIELDS if field.name != "line_number"]
    values = {
        "table": entity,
        "typed_columns": _typed(FIELDS[entity]),
        "typed_line_columns": _typed(tuple(field for field in LINE_FIELDS if field.name != "line_number")),
        "columns": _listed(names),
        "stage_columns": _listed(names, "s."),
        "target_compared": _listed(compared, "t."),
        "stage_compared": _listed(compared, "s."),
        "assignments": _assigned(names),
        "line_columns": _listed(lines),
        "stage_line_columns": _listed(lines, "n."),
        "target_line_columns": _listed(lines, "l."),
        "line_identity_and_columns": _listed(["place", "line_number", *lines], "n."),
        "target_line_identity_and_columns": "coalesce(l.place, l.line_number), "
        + _listed(["line_number", *lines], "l."),
        "excluded_line_columns": _listed(lines, "excluded."),
        "line_assignments": _assigned(lines),
    }
    queries = load_queries("services.writer", "upsert.sql")
    values["lines_differ"] = fill(queries["lines_differ"], values) if entity == "purchase_orders" else "false"
    return Statements(
        sql={name: fill(text, values) for name, text in queries.items()},
        field_columns=tuple(names),
        line_columns=("external_id", "place", *(field.name for field in LINE_FIELDS)),
    )


def all_statements() -> Mapping[Entity, Statements]:
    """Statements of every entity: built once, when the writer is."""
    return {entity: _statements(entity) for entity in ENTITIES}
