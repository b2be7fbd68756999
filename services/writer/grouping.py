"""Pure: which records of a group of batches are staged, and which lose to a later one of the same key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.contracts.messages import PageTransformed
from shared.contracts.records import Row

Place = tuple[int, int]
"""(page_no, batch_no): the higher place of a key wins."""


@dataclass(slots=True)
class Tally:
    """One batch's counters on their way to its mark."""

    batch: PageTransformed
    staged: int = 0
    inserted: int = 0
    updated: int = 0
    duplicates: int = 0
    deleted: int = 0
    keys: int = 0
    """Keys this batch puts into the memory of keys seen."""

    @property
    def unchanged(self) -> int:
        return self.staged - self.inserted - self.updated

    def outcomes(self) -> dict[str, int]:
        """What became of the batch's records."""
        return {
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "filtered": self.batch.filtered,
            "duplicates": self.duplicates,
            "quarantined": len(self.batch.rejects),
            "deleted": self.deleted,
        }

    @property
    def key_range(self) -> tuple[str, str] | None:
        """The first and the last key of its rows and deletions, by code points as the database's "C" has them."""
        ends = [
            pick(keys)
            for keys in ([row[0] for row in self.batch.rows], self.batch.deletions)
            if keys
            for pick in (min, max)
        ]
        return (min(ends), max(ends)) if ends else None

    @property
    def keyless(self) -> int:
        return sum(reject.external_id is None for reject in self.batch.rejects)


class StagedRow(NamedTuple):
    """The record that counts for its key within the group."""

    place: Place
    row: Row


@dataclass(slots=True)
class Group:
    """Several batches of one entity that are written in one transaction."""

    tallies: dict[Place, Tally]
    staged: dict[str, StagedRow]
    others: list[tuple[str, Place, str]] = field(default_factory=list)
    """Keys that are seen but not staged: (key, place, outcome d, q, x or g)."""
    gone: dict[str, Place] = field(default_factory=dict)
    """Keys that the vendor says are gone, and nothing later in the group says otherwise."""


def place_of(batch: PageTransformed) -> Place:
    """Where a batch stands in its entity."""
    return batch.page_no, batch.batch_no


def group_batches(batches: Sequence[PageTransformed]) -> Group:
    """Stage each key once: the highest page, there the last record. The other records are duplicates.

    A deletion is what its batch says last: it beats records of its own and of lower places, and loses to higher ones.
    """
    tallies: dict[Place, Tally] = {}
    staged: dict[str, StagedRow] = {}
    others: list[tuple[str, Place, str]] = []
    gone: dict[str, Place] = {}
    for batch in sorted(batches, key=place_of):
        place = place_of(batch)
        if place in tallies:
            continue  # the same message twice in one group
        tally = tallies[place] = Tally(batch)
        keys = {row[0] for row in batch.rows}
        if len(keys) == len(batch.rows) and keys.isdisjoint(staged) and keys.isdisjoint(gone):
            staged.update((row[0], StagedRow(place, row)) for row in batch.rows)  # the everyday case, at once
            tally.staged = len(keys)
        else:
            _stage_one_by_one(tally, place, tallies, staged, others, gone)
        deletions = set(batch.deletions)
        for key in sorted(deletions):
            known = staged.pop(key, None)
            lower = known.place if known is not None else gone.get(key)
            if known is not None:
                tallies[known.place].duplicates += 1
                tallies[known.place].staged -= 1
            if lower is not None and lower != place:
                others.append((key, lower, "d"))
            gone[key] = place
        keys |= deletions
        rejected = {reject.external_id for reject in batch.rejects if reject.external_id is not None} - keys
        others.extend((key, place, "q") for key in sorted(rejected))
        tally.keys = len(keys) + len(rejected)
    return Group(tallies, staged, others, gone)


def _stage_one_by_one(
    tally: Tally,
    place: Place,
    tallies: dict[Place, Tally],
    staged: dict[str, StagedRow],
    others: list[tuple[str, Place, str]],
    gone: dict[str, Place],
) -> None:
    for row in tally.batch.rows:
        known = staged.get(row[0])
        if known is not None:
            tallies[known.place].duplicates += 1
            tallies[known.place].staged -= 1
            if known.place != place:
                others.append((row[0], known.place, "d"))
        staged[row[0]] = StagedRow(place, row)
        tally.staged += 1
        if (lost := gone.pop(row[0], None)) is not None:
            others.append((row[0], lost, "d"))
