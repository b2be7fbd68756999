"""When an entity is read in full although its changes alone were asked for: each connector's rules, as data. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.schedule import parse_period


@dataclass(frozen=True, slots=True)
class SyncRules:
    """A read of changes shows no deletion (where the vendor tells none) and reaches back only so far; a sweep, which is
    a full read with delete detection, makes up for both."""

    overlap: timedelta = timedelta(minutes=5)
    """An incremental read starts this much before the newest change seen: clocks and commits are not in step."""
    max_cursor_age: timedelta | None = None
    """What was not read for longer is swept: the vendor does not tell all that changed before."""
    full_sync_every: str | None = None
    """How often a sweep is due where the source does not say it (`full_sync_every`): 24h, 7d, 2w."""

    def __post_init__(self) -> None:
        if self.full_sync_every is not None:
            parse_period(self.full_sync_every)
        if self.max_cursor_age is not None and self.max_cursor_age <= self.overlap:
            raise ValueError("max_cursor_age is within the overlap: each run would be a sweep")

    def sweep_reason(
        self, *, every: str | None, read_at: datetime, last_full_at: datetime | None, now: datetime
    ) -> str | None:
        """Why a sweep is due of what was read at `read_at` and in full at `last_full_at`; None when it is not.

        `every`: the source's own period.
        """
        if self.max_cursor_age is not None and now - (read_at - self.overlap) > self.max_cursor_age:
            return f"not read for more than {self.max_cursor_age / timedelta(days=1):g} days"
        period = every or self.full_sync_every
        if period is not None and (last_full_at is None or last_full_at + parse_period(period) <= now):
            return f"a full read is due every {period}"
        return None
