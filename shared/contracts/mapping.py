"""The mapping as data: immutable, versioned, and carried by every page, so the transformer needs no database."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from shared.contracts.ids import Entity

RuleType = Literal["string", "number", "integer", "boolean", "date", "datetime"]

MAX_EXPRESSION_CHARS = 4_000


def _decimals_as_text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_decimals_as_text(element) for element in value]
    if isinstance(value, dict):
        return {key: _decimals_as_text(element) for key, element in value.items()}
    return value


RuleValue = Annotated[JsonValue, BeforeValidator(_decimals_as_text)]
"""A value that a mapping's author wrote. The wire reads `0.10` as a Decimal, which JSON models refuse: kept as text."""


class FieldRule(BaseModel):
    """Where one internal field comes from: exactly one of `path` and `constant`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    path: str | None = Field(default=None, max_length=MAX_EXPRESSION_CHARS)
    """The exact name of a top-level raw field, else a JMESPath expression on the raw record."""
    constant: RuleValue = None
    default: RuleValue = None
    """Taken when the value is null or missing (or, for all but text, empty)."""
    required: bool = False
    """A null is then a reject, not a null."""
    type: RuleType | None = None
    """Coerce to this before the internal field's own type."""
    format: str | None = Field(default=None, max_length=100)
    """Of dates and times: tokens (`DD.MM.YYYY HH:MM:SS`), `unix`, `unix_ms`, or strptime's codes."""
    map: dict[str, RuleValue] | None = None
    """Raw value (in its text form), or what `type` makes of it, to value; a value that isn't a key passes unchanged."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> "FieldRule":
        if (self.path is None) == ("constant" not in self.model_fields_set):
            raise ValueError("a rule has either `path` or `constant`")
        return self

    @model_serializer(mode="wrap")
    def _without_unset_constant(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        if "constant" not in self.model_fields_set:
            dumped.pop("constant", None)
        return dumped


class EntityMapping(BaseModel):
    """All that turns one entity's raw records into rows."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    version: int = 1
    id_path: str = Field(max_length=MAX_EXPRESSION_CHARS)
    """Top-level name or JMESPath; the external id is its text form."""
    filter: str | None = Field(default=None, max_length=MAX_EXPRESSION_CHARS)
    """JMESPath; a record for which it is false is counted as `filtered`."""
    updated_at_path: str | None = Field(default=None, max_length=MAX_EXPRESSION_CHARS)
    """Where the record's own change time is: moves the incremental cursor, fills `source_updated_at` if unmapped."""
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    time_zone: str = "UTC"
    """IANA zone of times that carry none."""
    fields: dict[str, FieldRule] | None = None
    """Internal field to rule; None means fields of the same name."""


FieldMappings = dict[Entity, dict[str, FieldRule]]
"""A source's `field_mappings` as the API takes it."""
