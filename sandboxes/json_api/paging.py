"""Six ways in which APIs hand out a collection piece by piece, and the envelope of each."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from urllib.parse import urlencode

from sandboxes.data.documents import decode, encode, rfc3339
from sandboxes.json_api.table import SortKey, Table, View

Style = Literal["all", "page", "offset", "cursor", "link", "linkheader"]
STYLES: tuple[Style, ...] = get_args(Style)
_DEFAULT_SIZE = 100


class BadParameterError(ValueError):
    """A query parameter makes no sense; the message says which."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a collection."""

    path: str
    """As the caller wrote it; the next link is built on it."""
    origin: str
    query: Mapping[str, str]
    style: Style
    max_size: int
    loop: bool
    """The fault `page_loop`: name this page as the next one."""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer: the body, and the Link header where the style has one."""

    body: bytes
    link: str | None = None


def style_of(query: Mapping[str, str]) -> Style:
    """The style that the parameters ask for where the path names none."""
    if (named := query.get("paging")) is not None:
        for style in STYLES:
            if named == style:
                return style
        raise BadParameterError(f"paging is one of {', '.join(STYLES)}")
    hints: tuple[tuple[str, Style], ...] = (
        ("cursor", "cursor"),
        ("after", "link"),
        ("page", "page"),
        ("offset", "offset"),
        ("limit", "offset"),
        ("size", "page"),
    )
    return next((style for parameter, style in hints if parameter in query), "all")


def page(table: Table, call: Call) -> Page:
    """The page that the call asks for. BadParameterError when a parameter makes no sense."""
    view = table.view(_since(call.query))
    match call.style:
        case "all":
            return Page(b"".join((b"[", view.slice(0, len(view)), b"]")))
        case "page":
            return _numbered(view, call)
        case "offset":
            return _offset(view, call)
        case "cursor" | "link" | "linkheader":
            return _keyset(table, view, call)


def _numbered(view: View, call: Call) -> Page:
    number, size = _number(call.query, "page", 1, least=1), _size(call)
    start = 0 if call.loop else (number - 1) * size
    tail = {"page": number, "size": size, "pages": -(-len(view) // size), "total": len(view)}
    return _envelope("items", view.slice(start, start + size), tail)


def _offset(view: View, call: Call) -> Page:
    offset, limit = _number(call.query, "offset", 0, least=0), _size(call)
    start = 0 if call.loop else offset
    return _envelope(
        "results", view.slice(start, start + limit), {"offset": offset, "limit": limit, "total": len(view)}
    )


def _keyset(table: Table, view: View, call: Call) -> Page:
    after, size = _after(table, call), _size(call)
    start = view.after(after)
    stop = min(start + size, len(view))
    following = view.key_at(stop - 1) if start < stop < len(view) else None
    if call.loop and after is not None:
        following = after
    text = None if following is None else table.key_text(following)
    records = view.slice(start, stop)
    if call.style == "cursor":
        return _envelope("data", records, {"next_cursor": None if text is None else _pack(text)})
    link = None if text is None else f"{call.path}?{urlencode({**call.query, 'after': text})}"
    if call.style == "link":
        return _envelope("items", records, {"next": link})
    header = None if link is None else f'<{call.origin}{link}>; rel="next"'
    return Page(b"".join((b"[", records, b"]")), header)


def _envelope(name: str, records: memoryview, tail: Mapping[str, int | str | None]) -> Page:
    return Page(b"".join((b'{"', name.encode(), b'":[', records, b"],", encode(tail)[1:])))


def _after(table: Table, call: Call) -> SortKey | None:
    parameter = "cursor" if call.style == "cursor" else "after"
    text = call.query.get(parameter, "")
    if not text:
        return None
    try:
        return table.parse_key(_unpack(text) if call.style == "cursor" else text)
    except ValueError:
        raise BadParameterError(f"{parameter} is not one of ours") from None


def _pack(text: str) -> str:
    return base64.urlsafe_b64encode(encode({"after": text})).decode().rstrip("=")


def _unpack(cursor: str) -> str:
    try:
        content = decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if not isinstance(content, dict) or not isinstance(content.get("after"), str):
        raise ValueError("not a cursor")  # noqa: TRY004 - the type is wrong because the caller's value is
    return str(content["after"])


def _size(call: Call) -> int:
    wanted = _number(call.query, "limit" if "limit" in call.query else "size", _DEFAULT_SIZE, least=1)
    return min(wanted, call.max_size)


def _number(query: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) < least:
        raise BadParameterError(f"{name} is a number from {least}")
    return int(text)


def _since(query: Mapping[str, str]) -> str | None:
    text = query.get("updated_since")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadParameterError("updated_since is an RFC 3339 time with a zone")
    return rfc3339(moment)
