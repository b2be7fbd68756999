"""The vendor's clock, which tests can move, and the two ways in which the vendor writes a time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sandboxes.behaviour import clock as real

PACIFIC = ZoneInfo("America/Los_Angeles")
"""Times in answers have this zone's offset (Intuit documentation, error codes)."""


class MovableClock:
    """The time of day and the steady time of one server: the real ones, or a fixed one, plus what tests moved it by.

    With `start` (aware) the clock stands still between moves; the steady time is then the seconds moved so far.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start
        self._moved = 0.0
        self.on_move: list[Callable[[], None]] = []

    def wall(self) -> datetime:
        """The time of day, in UTC."""
        return (self._start or real.wall()).astimezone(UTC) + timedelta(seconds=self._moved)

    def steady(self) -> float:
        """Seconds that never go back: limits are counted with it, so that a move ends their windows too."""
        return self._moved + (real.steady() if self._start is None else 0.0)

    def advance(self, seconds: float) -> None:
        """Move forward. ValueError when the number is negative: issued tokens and stamps would lie in the future."""
        if not 0 <= seconds < 1e10:
            raise ValueError("seconds is a number from 0 to 1e10")
        self._moved += seconds
        for call in self.on_move:
            call()


def pacific(moment: datetime) -> str:
    """A record's time stamp, which has whole seconds: `2026-05-20T10:03:11-07:00`."""
    return moment.astimezone(PACIFIC).isoformat(timespec="seconds")


def answer_time(moment: datetime) -> str:
    """The `time` of an answer: `2026-05-20T10:03:11.042-07:00`."""
    return moment.astimezone(PACIFIC).isoformat(timespec="milliseconds")
