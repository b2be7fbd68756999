"""Lists by key: opaque, URL-safe cursors that stay right while rows come and go."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from services.gateway.problems import ProblemError

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
MAX_CURSOR_CHARS = 500

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items of one answer.")]
CursorText = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the previous answer, with the same filters."),
]
_Item = TypeVar("_Item", bound=BaseModel)


class ItemList(BaseModel, Generic[_Item]):
    """One page of a list; `next_cursor` null: the last."""

    items: list[_Item]
    next_cursor: str | None


def page(items: Sequence[_Item], limit: int, name: str, key: Callable[[_Item], Sequence[str]]) -> ItemList[_Item]:
    """The answer from `limit` + 1 items read; `key` names where the next page starts."""
    shown = list(items[:limit])
    cursor = encode_cursor(name, key(shown[-1])) if len(items) > limit else None
    return ItemList(items=shown, next_cursor=cursor)


def encode_cursor(name: str, parts: Sequence[str]) -> str:
    """`name` is the list's, so that a cursor of one list is refused by another."""
    raw = json.dumps([name, *parts], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def id_cursor(name: str, text: str | None) -> UUID | None:
    """A cursor that is one id. Raises a 400 problem for anything that this list did not give out."""
    if text is None:
        return None
    parts = _decode(name, text, 1)
    return _parsed(UUID, parts[0])


def time_cursor(name: str, text: str | None) -> tuple[datetime, UUID] | None:
    """A cursor that is a time and an id."""
    if text is None:
        return None
    parts = _decode(name, text, 2)
    return _parsed(_moment, parts[0]), _parsed(UUID, parts[1])


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without its offset")
    return at.astimezone(UTC)  # which the first and the last hours of the calendar may not have


_Value = TypeVar("_Value")


def _parsed(parse: Callable[[str], _Value], text: str) -> _Value:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def _decode(name: str, text: str, length: int) -> list[str]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(values, list) or len(values) != length + 1 or not all(isinstance(value, str) for value in values):
        raise _bad_cursor()
    if values[0] != name:
        raise _bad_cursor()
    return values[1:]


def _bad_cursor() -> ProblemError:
    return ProblemError(
        400,
        "bad-cursor",
        "The cursor is not one of this list.",
        hint="Start again without `cursor`, then use next_cursor as it came.",
    )
