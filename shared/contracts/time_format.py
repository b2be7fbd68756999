"""How mappings and configurations spell a form of dates and times: tokens, `unix`, or strftime's codes. Pure."""

import re
from typing import Final, Literal, get_args

Epoch = Literal["unix", "unix_ms"]
"""Seconds and milliseconds since 1970."""
EPOCHS: Final[tuple[Epoch, ...]] = get_args(Epoch)

_TOKEN = re.compile(r"YYYY|HH|MM|DD|mm|SS|ss|[A-Za-z]+?(?=YYYY|HH|MM|DD|mm|SS|ss|[^A-Za-z]|$)|[^A-Za-z]+")
_CODES = {"YYYY": "%Y", "DD": "%d", "HH": "%H", "mm": "%M", "SS": "%S", "ss": "%S"}
_LITERAL_LETTERS = frozenset({"T", "Z"})


def percent_codes(form: str) -> str:
    """`form` in strftime's codes: as it is where it has any, else made of the tokens YYYY MM DD HH MM SS.

    MM is the month before HH and the minutes after it, `mm` always is the minutes. Raises ValueError for a form that
    has neither codes nor tokens, or letters that are none; `unix` and `unix_ms` (`EPOCHS`) are for the caller.
    """
    if "%" in form:
        return form
    written: list[str] = []
    hours_seen = tokens_seen = False
    for part in _TOKEN.findall(form):
        code = ("%M" if hours_seen else "%m") if part == "MM" else _CODES.get(part)
        hours_seen = hours_seen or part == "HH"
        if code is None and part.isalpha() and part not in _LITERAL_LETTERS:
            raise ValueError(f"{part!r} is none of the tokens YYYY MM DD HH mm SS, `unix`, `unix_ms` or strftime's")
        tokens_seen = tokens_seen or code is not None
        written.append(code or part)
    if not tokens_seen:
        raise ValueError("the format holds no token such as YYYY")
    return "".join(written)
