"""Records as finished JSON text: a number keeps the digits it was written with, and serving one costs nothing."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

EntityName = Literal["products", "suppliers", "orders"]

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


class EntityShape(NamedTuple):
    """How records of one entity are told apart."""

    key: str
    """The field that holds the id."""
    updated: str
    """The field that holds the time of the last change."""
    volatile: str
    """The field that `change_percent` changes: a number grows by 7, a text gets a mark."""
    numeric_key: bool
    """Whether ids are integers (and sort so)."""


class Document(NamedTuple):
    """One record."""

    key: int | str
    updated: str
    text: bytes


class Entity(NamedTuple):
    """All records of one entity, with their shape."""

    shape: EntityShape
    documents: list[Document]


Shop = Mapping[EntityName, Entity]


def encode(value: Any) -> bytes:
    """JSON; a Decimal keeps its digits (`18.00`), text stays UTF-8."""
    return _encoder.encode(value)


def decode(text: bytes) -> Any:
    """The JSON value with every non-integer number as Decimal. Raises msgspec.DecodeError (a ValueError)."""
    return _decoder.decode(text)


def document(shape: EntityShape, record: Mapping[str, Any]) -> Document:
    """The record as a document. KeyError when it lacks its id or its time."""
    return Document(record[shape.key], record[shape.updated], encode(record))


def entity(shape: EntityShape, records: Iterable[Mapping[str, Any]]) -> Entity:
    """The records as an entity."""
    return Entity(shape, [document(shape, record) for record in records])


def rfc3339(moment: datetime) -> str:
    """Always UTC with milliseconds and `Z`, so that two of them compare as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day(start: datetime, days: int) -> str:
    """The date that many days after `start`."""
    return (start + timedelta(days=days)).date().isoformat()
