"""Texts of dates and times. What is not clearly one is refused, never guessed."""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal

from shared.contracts.time_format import EPOCHS, percent_codes
from shared.expressions.exact import Number

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))? ?([Zz]|[+-]\d{2}(?::?\d{2})?)?", re.ASCII
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_EPOCH_DIGITS = 18

_UTC_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T[01]\d:\d{2}:\d{2}Z|\d{4}-\d{2}-\d{2}T2[0-3]:\d{2}:\d{2}Z", re.ASCII)


def parse_datetime(text: str, zone: tzinfo, form: str | None = None) -> datetime:
    """An aware time: RFC 3339 (or a date, its midnight), else of the `form`; without an offset it is in `zone`.

    `form` is one of `contracts.time_format`, but no epoch. Raises ValueError.
    """
    if form is not None:
        parsed = datetime.strptime(text, _reading(form))  # noqa: DTZ007 - the zone is added below when the text has none
    elif match := _DATETIME.fullmatch(text):
        day, clock, fraction, offset = match.groups()
        parts = (day, "T", clock, f".{fraction[:6]}" if fraction else "", (offset or "").upper())
        parsed = datetime.fromisoformat("".join(parts))
    else:
        parsed = datetime.combine(_plain_date(text), datetime.min.time())
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=zone)


def parse_date(text: str, form: str | None = None) -> date:
    """A date: `YYYY-MM-DD`, or the date of an RFC 3339 time as it is written there; else of the `form`.

    Raises ValueError.
    """
    if form is None and _DATE.fullmatch(text):
        return date.fromisoformat(text)
    return parse_datetime(text, UTC, form).date()


def utc_text(moment: datetime) -> str:
    """RFC 3339 in UTC. Raises OverflowError at the calendar's ends."""
    # Several times quicker than the aware time's own isoformat, which asks its zone for an offset.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "+00:00"


def canonical_utc_text(text: str) -> str | None:
    """What `utc_text` makes of the commonest form, `YYYY-MM-DDTHH:MM:SSZ`, in a third of the time; None for any other.

    Raises ValueError when it has that form and is no time.
    """
    if not _UTC_SECONDS.fullmatch(text):
        return None
    datetime.fromisoformat(text)
    return f"{text[:19]}+00:00"


def is_readable(form: str) -> bool:
    """Whether dates and times can be read by `form` at all."""
    if form in EPOCHS:
        return True
    try:
        codes = _reading(form)
        datetime.strptime(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(codes), codes)  # noqa: DTZ007 - only a trial
    except (ValueError, re.error):
        return False
    return True


def _reading(form: str) -> str:
    """`form` in strptime's codes. The Z behind tokens is no letter of the text's: what it stands behind is UTC."""
    codes = percent_codes(form)
    return f"{codes[:-1]}%z" if "%" not in form and codes.endswith("Z") else codes


def epoch_moment(number: Number, form: str) -> datetime:
    """`number` counted since 1970 as `unix` or `unix_ms` says, cut to the microsecond.

    Raises OverflowError beyond what a time can be, ValueError for what is no finite number.
    """
    exact = Decimal(number)
    if exact.is_finite() and exact.adjusted() > _MOST_EPOCH_DIGITS:
        raise OverflowError("beyond the calendar")
    micros = int(exact.scaleb(3 if form == "unix_ms" else 6))
    return _EPOCH + timedelta(microseconds=micros)


def _plain_date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError("no ISO date")
    return date.fromisoformat(text)


def unix_moment(number: Number) -> datetime:
    """Seconds since 1970, or milliseconds where seconds would lie beyond the year 5138.

    Raises OverflowError, ValueError or OSError beyond what a time can be.
    """
    seconds = Decimal(number)
    if abs(seconds) >= 10**11:
        seconds /= 1000
    return datetime.fromtimestamp(float(seconds), UTC)
