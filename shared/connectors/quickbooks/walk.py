"""Where a walk through a table's records goes on: behind the last id, or by position where ids do not lead on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

from shared.errors import DataError

OVERLAP: Final = 100
"""Records that a page by position reads again: so many may be deleted meanwhile without one being skipped."""


@dataclass(frozen=True, slots=True)
class Place:
    """Behind `read` records, the last of which has the id `after`; None: by position (or at the start).

    Ids are text, and whether the vendor sorts and compares them as numbers or as letters is documented nowhere. Either
    will do, as long as it does both alike; if not, position is what is left.
    """

    read: int = 0
    after: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `str(place)`."""
        read, _, after = text.partition(":")
        return cls(int(read), after or None)

    def __str__(self) -> str:
        return f"{self.read}:{self.after or ''}"

    @property
    def position(self) -> int:
        """STARTPOSITION."""
        return 1 if self.after is not None else max(1, self.read + 1 - OVERLAP)

    def precedes(self, ids: Sequence[str]) -> bool:
        """Whether these can be what comes behind it."""
        return self.after is None or _rising([self.after, *ids])

    def next(self, ids: Sequence[str], total: int | None, asked: int) -> "Place | None":
        """Behind a page that was read from here; None when it was the last.

        After a full page others may follow whatever `total` says: what it counts is documented nowhere. Raises
        DataError for pages that do not get on.
        """
        by_position = self.after is None and self.read > 0
        before = self.position - 1 if by_position else self.read
        known = before if by_position else 0
        if not ids or (len(ids) < asked and (total is None or total <= known + len(ids))):
            return None
        read = before + len(ids)
        if read <= self.read:
            raise DataError("QuickBooks sends the same records again and again", hint="Sync again; report it.")
        return Place(read, None if by_position or not _rising(ids) else ids[-1])


def _rising(ids: Sequence[str]) -> bool:
    numbers = [int(one) for one in ids] if all(one.isascii() and one.isdecimal() for one in ids) else []
    return bool(numbers and _each_greater(numbers)) or _each_greater(ids)


def _each_greater(values: Sequence[Any]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))
