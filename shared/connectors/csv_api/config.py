"""What a `csv_api` source is configured with. Pure; everything that can be wrong is said before the first call."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.connector_sdk.http_config import ConfigModel, ExpressionText, Url
from shared.connector_sdk.text_body import text_codec
from shared.contracts.ids import Entity

MAX_COLUMNS = 5_000


def _tab(value: object) -> object:
    """In a form's text field nobody can type a tab."""
    return "\t" if value == "\\t" else value


def _structural(text: str) -> str:
    if text in {"\r", "\n", "\0"}:
        raise ValueError("cannot be a line end or a NUL character")
    return text


def _encoding(name: str) -> str:
    if text_codec(name) is None:
        raise ValueError("is not an encoding that is known here; utf-8, cp1252 and utf-16 are")
    return name


def _distinct(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(columns)) < len(columns):
        raise ValueError("the same column is named twice")
    return columns


Delimiter = Annotated[
    str, BeforeValidator(_tab), Field(min_length=1, max_length=1), AfterValidator(_structural)
]  # fmt: skip
QuoteChar = Annotated[str, Field(max_length=1), AfterValidator(_structural)]
Encoding = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_encoding)]
ColumnName = Annotated[str, Field(min_length=1, max_length=500)]


class EntityConfig(ConfigModel):
    """Where one entity's file is, how it is written, and which column its records are known by."""

    url: Url
    delimiter: Delimiter = ","
    """One character; `\\t` may be spelled out."""
    encoding: Encoding | None = None
    """None: the byte order mark decides, else Content-Type's charset, else UTF-8."""
    quotechar: QuoteChar = '"'
    """Empty: nothing is quoted in this file."""
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    skip_rows: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Lines above the header (or above the first record, with `columns`)."""
    id_column: ColumnName
    columns: (
        Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=MAX_COLUMNS), AfterValidator(_distinct)] | None
    ) = None
    """Names of the columns of a file that has no header."""
    filter: ExpressionText | None = None
    null_values: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=100)] = ("", "--")
    """Cells that say nothing, compared exactly."""

    @model_validator(mode="after")
    def _fits_together(self) -> "EntityConfig":
        if self.delimiter == self.quotechar:
            raise ValueError("delimiter and quotechar are the same")
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same")
        if self.columns is not None and self.id_column not in self.columns:
            raise ValueError("columns does not hold the id_column")
        return self


class CsvApiConfig(ConfigModel):
    """A source: at least one entity."""

    entities: Annotated[dict[Entity, EntityConfig], Field(min_length=1)]
