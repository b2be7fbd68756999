"""The shop's clock, which tests move: what records are stamped with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta


class MovableClock:
    """Follows the server's wall clock, shifted; or stands still where it was put."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._shift = timedelta()
        self._held: datetime | None = None

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return self._wall() + self._shift if self._held is None else self._held

    def advance(self, step: timedelta) -> None:
        """Move it by that much, forward or back."""
        if self._held is None:
            self._shift += step
        else:
            self._held += step

    def hold(self, moment: datetime) -> None:
        """Let it stand still at that moment, which needs a zone, until it is moved or released."""
        if moment.tzinfo is None:
            raise ValueError("the moment needs a zone")
        self._held = moment

    def release(self) -> None:
        """Let it run again, with the wall clock."""
        self._held, self._shift = None, timedelta()

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Stand at that moment for the length of the block."""
        before = self._held
        self._held = moment
        try:
            yield
        finally:
            self._held = before
