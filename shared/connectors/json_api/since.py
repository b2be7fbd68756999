"""How a point in time is written into `updated_since_param`. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

DEFAULT_FORMAT: Final = "YYYY-MM-DDTHH:MM:SSZ"

_TOKEN = re.compile(r"YYYY|HH|MM|DD|mm|SS|ss|[A-Za-z]+?(?=YYYY|HH|MM|DD|mm|SS|ss|[^A-Za-z]|$)|[^A-Za-z]+")
_LITERAL_LETTERS = frozenset({"T", "Z"})


def check_format(pattern: str) -> str:
    """Validator: raises ValueError when `pattern` is neither `unix`, `unix_ms`, strftime nor made of our tokens."""
    if pattern in {"unix", "unix_ms"}:
        return pattern
    write_since(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), pattern)
    return pattern


def write_since(moment: datetime, pattern: str = DEFAULT_FORMAT) -> str:
    """`moment` in UTC, cut to the second (so rather a little earlier than later).

    `unix` and `unix_ms` are numbers since 1970; a pattern with `%` is strftime's; else the tokens YYYY MM DD HH MM SS
    apply, where MM is the month before HH and the minutes after it (`mm` always is the minutes).
    """
    moment = moment.astimezone(UTC).replace(microsecond=0)
    if pattern == "unix":
        return str(int(moment.timestamp()))
    if pattern == "unix_ms":
        return str(int(moment.timestamp()) * 1000)
    if "%" in pattern:
        return moment.strftime(pattern)
    codes = {"YYYY": "%Y", "DD": "%d", "HH": "%H", "mm": "%M", "SS": "%S", "ss": "%S"}
    written: list[str] = []
    hours_seen = tokens_seen = False
    for part in _TOKEN.findall(pattern):
        code = ("%M" if hours_seen else "%m") if part == "MM" else codes.get(part)
        hours_seen = hours_seen or part == "HH"
        if code is not None:
            tokens_seen = True
            written.append(moment.strftime(code).zfill(len(part)))
        elif part.isalpha() and part not in _LITERAL_LETTERS:
            raise ValueError(f"{part!r} is none of the tokens YYYY MM DD HH mm SS, `unix`, `unix_ms` or strftime's")
        else:
            written.append(part)
    if not tokens_seen:
        raise ValueError("the format holds no token such as YYYY")
    return "".join(written)
