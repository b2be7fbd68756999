"""The `filter` and `limit` of a collection (Finale documentation, filtering resources)."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

import msgspec

from sandboxes.data.documents import decode
from sandboxes.finale.store import Number, Record, RefusedError, parse_instant
from sandboxes.finale.switches import Switches

_LONGEST_RANGE = timedelta(days=30)
_UPDATED = "lastUpdatedDate"
Bounds = tuple[Any, Any]


def chosen(rows: Iterable[Record], query: Mapping[str, str], switches: Switches, now: str) -> list[Record]:
    """The rows that the query asks for, in the order of creation. All parameters but these two are ignored.

    RefusedError when the filter cannot be read, or its range of lastUpdatedDate is not allowed.
    """
    bounds = parse_filter(query.get("filter", ""), switches, now)
    limit = _limit(query.get("limit", ""))
    if switches.limit_applied == "before_filter":
        rows = islice(rows, limit)
    if _UPDATED in bounds:
        updated = bounds.pop(_UPDATED)
        rows = (row for row in rows if _within(row.get(_UPDATED), updated))
    # beyond the cap other filters are inaccurate: what lies behind it is not looked at
    found = list(islice(rows, switches.collection_cap))
    found = [row for row in found if all(_within(row.get(name), pair) for name, pair in bounds.items())]
    return found[:limit]


def parse_filter(text: str, switches: Switches, now: str) -> dict[str, Bounds]:
    """Lower and upper bound of each field, both inclusive, None = no bound; {} when there is no filter."""
    if not text:
        return {}
    try:
        # line ends within base64 are taken; a blank, which an unescaped + becomes, is not
        content = decode(base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise RefusedError("filter is not base64 of a JSON object") from None
    if not isinstance(content, dict):
        raise RefusedError("filter is not base64 of a JSON object")
    bounds: dict[str, Bounds] = {}
    for name, value in content.items():
        if not isinstance(value, list) or len(value) != 2 or any(isinstance(one, list | dict) for one in value):
            raise RefusedError(f"filter on {name}: the value is a list of a lower and an upper bound")
        bounds[name] = (value[0], value[1])
    if _UPDATED in bounds:
        bounds[_UPDATED] = _checked_range(bounds[_UPDATED], switches, now)
    return bounds


def _checked_range(pair: Bounds, switches: Switches, now: str) -> Bounds:
    lower, upper = pair
    if lower is None:
        raise RefusedError("filter on lastUpdatedDate: a lower bound is required")
    if upper is None:
        if switches.missing_upper_bound == "refused":
            raise RefusedError("filter on lastUpdatedDate: an upper bound is required")
        upper = now
    begin, end = parse_instant(lower), parse_instant(upper)
    if begin is None or end is None:
        raise RefusedError("filter on lastUpdatedDate: a bound is YYYY-MM-DDTHH:MM:SS")
    if end - begin > _LONGEST_RANGE:
        raise RefusedError("filter on lastUpdatedDate: the range is at most 30 days")
    return lower, upper


def _within(value: Any, pair: Bounds) -> bool:
    """Plain comparison: numbers as numbers, all else as text. Lists and missing values match nothing."""
    if value is None or isinstance(value, list | dict):
        return False
    lower, upper = pair
    if all(bound is None or isinstance(bound, Number) for bound in pair) and isinstance(value, Number):
        return (lower is None or lower <= value) and (upper is None or value <= upper)
    text = str(value)
    return (lower is None or str(lower) <= text) and (upper is None or text <= str(upper))


def _limit(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
