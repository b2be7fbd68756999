"""Where a walk through a table's records goes on: behind the last id, or by position where ids do not lead on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

from shared.errors import DataError

OVERLAP: Final = 100
"""Records that a page by position reads again: so many may be deleted meanwhile without one being skipped."""
_BEHIND, _AT = ":", "@"


@dataclass(frozen=True, slots=True)
class Place:
    """Behind `read` records, the last of which has the id `last`; nothing read is the start.

    Ids are text, and whether the vendor sorts and compares them as numbers or as letters is documented nowhere. Where
    they rise as what they look like, the next page is asked for behind the last one. Else position is what is left.
    """

    read: int = 0
    last: str | None = None
    by_position: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `str(place)`; an id alone is how the release before wrote it."""
        for mark in (_BEHIND, _AT):
            read, found, last = text.partition(mark)
            if found and read.isdecimal():
                return cls(int(read), last or None, by_position=mark == _AT)
        return cls(last=text or None)

    def __str__(self) -> str:
        return f"{self.read}{_AT if self.by_position else _BEHIND}{self.last or ''}"

    @property
    def after(self) -> str | None:
        """The id behind which to read; None where position tells."""
        return None if self.by_position else self.last

    @property
    def position(self) -> int:
        """STARTPOSITION."""
        return max(1, self.read + 1 - OVERLAP) if self.by_position else 1

    def without_ids(self) -> "Place":
        """The same place by position: the start where nobody knows how many records are before it."""
        return Place(self.read, self.last if self.read else None, by_position=True)

    def precedes(self, ids: Sequence[str]) -> bool:
        """Whether these can be what comes behind the last id. By position always: what counts there is `next`'s."""
        return self.after is None or _lead_on([self.after, *ids])

    def next(self, ids: Sequence[str], total: int | None, asked: int) -> "Place | None":
        """Behind a page that was read from here; None when it was the last.

        After a full page others may follow whatever `total` says: what it counts is documented nowhere. Raises
        DataError for pages that do not get on, and for records that moved further than two pages overlap.
        """
        if self.by_position and self.last is not None and self.last not in ids:
            raise DataError("QuickBooks' records moved while they were read", hint="Sync again.")
        before = self.position - 1 if self.by_position else self.read
        known = before if self.by_position else 0
        if not ids or (len(ids) < asked and (total is None or total <= known + len(ids))):
            return None
        read = before + len(ids)
        if read <= self.read:
            raise DataError("QuickBooks sends the same records again and again", hint="Sync again; report it.")
        return Place(read, ids[-1], by_position=self.by_position or not _lead_on(ids))


def _lead_on(ids: Sequence[str]) -> bool:
    """Whether each is greater than the one before. Numbers that rise as letters alone do not count: a vendor that sorts
    them so and compares them as numbers would leave out what is between."""
    if all(one.isascii() and one.isdecimal() for one in ids):
        return _each_greater([int(one) for one in ids])
    return _each_greater(ids)


def _each_greater(values: Sequence[Any]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))
