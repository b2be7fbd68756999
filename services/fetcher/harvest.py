"""What one step read, in batches: of a page in memory, or of a spooled read on disk."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from services.fetcher.batching import cut
from shared.connector_sdk.protocol import BadRecord, Page
from shared.contracts.messages import RawRecord, encode_json
from shared.contracts.records import RecordReject
from shared.storage.pages import FetchedPage

RAW_CHARS = 150_000
"""Of a bad record's text: as JSON it stays below what a reject may hold, whatever has to be escaped."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message carries."""

    records: list[RawRecord]
    rejects: list[RecordReject]
    deletions: list[str] = field(default_factory=list)
    changed_until: datetime | None = None


class Harvest(Protocol):
    """A page as the ledger wants it, and its batches by number, from 0."""

    @property
    def page(self) -> FetchedPage: ...

    @property
    def missing(self) -> int:
        """Ids that were asked for, not found, and are left alone."""
        ...

    async def batch(self, number: int) -> Batch: ...

    def forget_deletions(self) -> None:
        """They are of a while ago: who is deleted by then is for a read of the vendor to say."""
        ...


class PageHarvest:
    """A page that is in memory anyway."""

    def __init__(self, page: Page, missing: int = 0) -> None:
        """Raises DataError when one record alone is larger than a message may be."""
        self._page = page
        self.missing = missing
        self._batches = cut(page.records, page.bytes)
        self._rejects = [reject_of(bad) for bad in page.rejects]
        records = len(page.records) + len(self._rejects)
        self.page = FetchedPage(page.next_cursor, records, len(self._batches), page.bytes)

    def forget_deletions(self) -> None:
        self._page = replace(self._page, deletions=())

    async def batch(self, number: int) -> Batch:
        if number:
            return Batch(list(self._batches[number]), [])
        return Batch(list(self._batches[0]), self._rejects, list(self._page.deletions), self._page.changed_until)


def believed(page: Page, deleted: Collection[str]) -> Page:
    """A page of single ids without the deletions that nobody spoke of: of an id that is `deleted`, not being there is
    the proof. Of any other it is doubt (a wrong address answers 404 to everything), and a read of all decides."""
    return replace(page, deletions=tuple(one for one in page.deletions if one in deleted))


def reject_of(bad: BadRecord) -> RecordReject:
    """The reject that a record becomes which the connector could not read."""
    return RecordReject(
        external_id=bad.key, field=None, reason=bad.reason, raw=encode_json(bad.raw[:RAW_CHARS]).decode()
    )
