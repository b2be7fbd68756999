"""When a source syncs by itself: the words of `sync_frequency` and `full_sync_every`, and the next time they name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

INTERVALS: dict[str, timedelta] = {
    "realtime": timedelta(minutes=15),  # webhooks bring changes; the sweep finds what a lost one missed
    "every_15_minutes": timedelta(minutes=15),
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
}
MAX_FREQUENCY_CHARS = 200
MIN_PERIOD = timedelta(hours=1)
MAX_PERIOD = timedelta(days=365)

_PERIOD = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_EXPECTED = "expected realtime, every_15_minutes, hourly, daily, manual or `cron:<5 fields> <IANA zone>`"


@dataclass(frozen=True, slots=True)
class Cron:
    """Five cron fields on the clock of a zone. In autumn's doubled hour a daily time fires once."""

    fields: str
    zone: ZoneInfo

    def times_after(self, after: datetime) -> Iterator[datetime]:
        """All times later than `after` (aware), in UTC."""
        return (time.astimezone(UTC) for time in CronSim(self.fields, after.astimezone(self.zone)))


Frequency = timedelta | Cron | None
"""A fixed distance, a cron line, or None: only when somebody asks."""


def parse_frequency(text: str) -> Frequency:
    """What `sync_frequency` says. Raises ValueError with a sentence for people."""
    if text == "manual":
        return None
    if text in INTERVALS:
        return INTERVALS[text]
    if not text.startswith("cron:") or len(text) > MAX_FREQUENCY_CHARS:
        raise ValueError(_EXPECTED)
    parts = text.removeprefix("cron:").split()
    if len(parts) != 6:
        raise ValueError("a cron frequency has five fields and a time zone: `cron:0 6 * * 1-5 Europe/Berlin`")
    cron = Cron(" ".join(parts[:5]), _zone(parts[5]))
    try:
        first = next(cron.times_after(datetime(2024, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise ValueError(f"the cron fields are wrong: {error}") from None
    if first is None:
        raise ValueError("the cron fields name a time that never comes")
    return cron


def next_after(frequency: str, after: datetime) -> datetime | None:
    """The next time (UTC) that `frequency` names later than `after` (aware); None for `manual`.

    Raises ValueError for a frequency that `parse_frequency` refuses.
    """
    parsed = parse_frequency(frequency)
    if parsed is None:
        return None
    if isinstance(parsed, timedelta):
        return after.astimezone(UTC) + parsed
    return next(parsed.times_after(after), None)


def parse_period(text: str) -> timedelta:
    """`full_sync_every`: a number and h, d or w (`24h`, `7d`, `2w`), one hour to a year. Raises ValueError."""
    match = _PERIOD.fullmatch(text)
    period = int(match[1]) * _UNITS[match[2]] if match else timedelta(0)
    if not MIN_PERIOD <= period <= MAX_PERIOD:
        raise ValueError("expected a number and h, d or w, such as 24h, 7d or 2w; from 1h to 365d")
    return period


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        raise ValueError("the last word of a cron frequency is an IANA time zone such as Europe/Berlin") from None
