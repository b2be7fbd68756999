"""The `filter` parameter: base64 of JSON ranges, and the windows of `lastUpdatedDate` that it allows. Pure."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

LONGEST_WINDOW = timedelta(days=30)
"""Of lastUpdatedDate (Finale documentation, filtering resources)."""
OVERLAP = timedelta(days=1)
"""Between windows, and before a read's beginning: the zone of the times is stated nowhere."""
_INSTANT = "%Y-%m-%dT%H:%M:%S"


def filter_param(ranges: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """The query parameter; each range includes both its ends. Both are always sent: one source of ours had a range
    without an upper end refused."""
    text = json.dumps({name: list(pair) for name, pair in ranges.items()}, separators=(",", ":"))
    return "filter", base64.b64encode(text.encode()).decode("ascii")


def local_text(moment: datetime, zone: tzinfo) -> str:
    """That moment as Finale writes times: of the account's zone, and without it."""
    return moment.astimezone(zone).strftime(_INSTANT)


def window_end(lower: str, until: str) -> str:
    """The upper bound of the window that begins at `lower`, at most `until`."""
    return min((datetime.strptime(lower, _INSTANT) + LONGEST_WINDOW).strftime(_INSTANT), until)  # noqa: DTZ007 - none there


def next_window(upper: str, until: str) -> str | None:
    """Where the window after the one that ended at `upper` begins; None after the last."""
    if upper >= until:
        return None
    return (datetime.strptime(upper, _INSTANT) - OVERLAP).strftime(_INSTANT)  # noqa: DTZ007 - none there
