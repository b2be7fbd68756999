"""What one step read, in batches: of a page in memory, or of a spooled read on disk."""

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

    async def batch(self, number: int) -> Batch: ...

    def forget_deletions(self) -> None:
        """They are of a while ago: who is deleted by then is for a read of the vendor to say."""
        ...


class PageHarvest:
    """A page that is in memory anyway."""

    def __init__(self, page: Page) -> None:
        """Raises DataError when one record alone is larger than a message may be."""
        self._page = page
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


def reject_of(bad: BadRecord) -> RecordReject:
    """The reject that a record becomes which the connector could not read."""
    return RecordReject(
        external_id=bad.key, field=None, reason=bad.reason, raw=encode_json(bad.raw[:RAW_CHARS]).decode()
    )
