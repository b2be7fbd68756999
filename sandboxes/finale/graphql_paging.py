"""Connections: cursors that are offsets, so rows shift between pages when the data change."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError

from sandboxes.data.documents import decode, encode
from sandboxes.finale.store import Record

DEFAULT_PAGE = 100
"""Without `first` or `last`. What Finale does is not known; it may not give all."""
DEFAULT_LINES = 10


def connection(rows: Sequence[Record], paging: dict[str, Any], default: int, most: int | None = None) -> dict[str, Any]:
    """The edges of the page that `first`, `last`, `after` and `before` ask for. GraphQLError for bad ones."""
    start, stop = 0, len(rows)
    if (after := _index(paging, "after")) is not None:
        start = min(stop, after + 1)
    if (before := _index(paging, "before")) is not None:
        stop = max(start, min(stop, before))
    first, last = _count(paging, "first"), _count(paging, "last")
    if first is None and last is None:
        first = default
    if most is not None:
        first = min(first if first is not None else most, most)
    if first is not None:
        stop = min(stop, start + first)
    if last is not None:
        start = max(start, stop - last)
    edges = [{"node": rows[index], "cursor": _cursor(index)} for index in range(start, stop)]
    page_info = {
        "hasNextPage": stop < len(rows),
        "hasPreviousPage": start > 0,
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
    return {"edges": edges, "pageInfo": page_info}


def _cursor(index: int) -> str:
    return base64.b64encode(encode({"idx": index})).decode()


def _index(paging: dict[str, Any], name: str) -> int | None:
    text = paging.get(name)
    if not text:
        return None
    try:
        content = decode(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        content = None
    index = content.get("idx") if isinstance(content, dict) else None
    if not isinstance(index, int) or index < 0:
        raise GraphQLError(f'Invalid cursor "{text}" in {name}')
    return index


def _count(paging: dict[str, Any], name: str) -> int | None:
    count: int | None = paging.get(name)
    if count is not None and count < 0:
        raise GraphQLError(f"{name} must not be negative")
    return count
