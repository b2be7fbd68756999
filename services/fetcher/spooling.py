"""A read without pages: spooled to disk, hashed and cut into batches before the first of them is sent."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import msgspec

from services.fetcher.alive import Life
from services.fetcher.batching import HARD_BYTES, MAX_BYTES, MAX_ROWS
from services.fetcher.harvest import RAW_CHARS, Batch
from shared.connector_sdk.protocol import BadRecord
from shared.connector_sdk.spool import SpoolFile, SpoolSpace
from shared.contracts.messages import RawRecord, decode_json, encode_json
from shared.contracts.records import RecordReject
from shared.errors import DataError, UnavailableError
from shared.storage.pages import FetchedPage

_RECORD_START = b"{"


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """What one spooled read may take."""

    read_seconds: float = 20 * 60.0
    """For the vendor's answer. RabbitMQ takes a message away after 30 minutes; the rest is for publishing."""
    batch_rows: int = MAX_ROWS


class Spool:
    """A whole read on disk: one JSON text per line, an object for a record and an array for a reject."""

    def __init__(self, file: SpoolFile, limits: SpoolLimits) -> None:
        self._file = file
        self._limits = limits
        self._ends: list[int] = []
        """Where each batch ends in the file."""
        self._digest = hashlib.sha256()
        self._records = 0

    missing = 0
    """A whole read asks for no ids."""

    @property
    def page(self) -> FetchedPage:
        """One page, the last; its bytes are those on disk. Equal reads have equal digests and equal batches."""
        return FetchedPage(None, self._records, len(self._ends), self._file.size, self._digest.hexdigest())

    async def fill(self, records: AsyncIterator[RawRecord | BadRecord], life: Life) -> None:
        """Take the whole read. Raises what the source raises, DataError above a limit, RetryableError for a full
        disk, UnavailableError when it takes too long, AbandonedError when nobody wants it any more.
        """
        lines: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                async for record in records:
                    life.check()
                    line = _line(record)
                    if lines and (len(lines) == self._limits.batch_rows or size + len(line) > MAX_BYTES):
                        await self._end_batch(lines)
                        lines, size = [], 0
                    lines.append(line)
                    size += len(line)
        except TimeoutError:
            minutes = self._limits.read_seconds / 60
            raise UnavailableError(f"the answer was not complete within {minutes:g} minutes") from None
        if lines or not self._ends:  # an empty read has an empty batch, so that it is accounted for too
            await self._end_batch(lines)

    def forget_deletions(self) -> None:
        """A whole read names none."""

    async def batch(self, number: int) -> Batch:
        start = self._ends[number - 1] if number else 0
        data = await asyncio.to_thread(self._file.read, start, self._ends[number] - start)
        records, rejects = [], []
        for line in data.splitlines():
            if line.startswith(_RECORD_START):
                records.append(msgspec.Raw(line))
            else:
                external_id, reason, raw = decode_json(line)
                rejects.append(RecordReject(external_id=external_id, field=None, reason=reason, raw=raw))
        # The encoder copies each raw text into the message: what was encoded once is not taken apart again.
        return Batch(cast("list[RawRecord]", records), rejects)

    async def _end_batch(self, lines: list[bytes]) -> None:
        self._records += len(lines)
        await asyncio.to_thread(self._append, b"".join(lines))

    def _append(self, data: bytes) -> None:
        self._file.append(data)
        self._digest.update(data)
        self._digest.update(b"\0")  # where batches end is a part of what must be equal
        self._ends.append(self._file.size)


@asynccontextmanager
async def spooled(
    records: AsyncIterator[RawRecord | BadRecord],
    life: Life,
    *,
    space: SpoolSpace,
    limits: SpoolLimits | None = None,
) -> AsyncIterator[Spool]:
    """The whole read, on disk."""
    async with AsyncExitStack() as kept:
        if isinstance(records, AsyncGenerator):
            kept.push_async_callback(records.aclose)  # hangs up, when the read ends early
        spool = Spool(await kept.enter_async_context(space.file()), limits or SpoolLimits())
        await spool.fill(records, life)
        yield spool


def _line(record: RawRecord | BadRecord) -> bytes:
    if isinstance(record, BadRecord):
        value: object = [record.key, record.reason, encode_json(record.raw[:RAW_CHARS]).decode()]
    else:
        value = record
    line = encode_json(value) + b"\n"
    if len(line) > HARD_BYTES:
        raise DataError(
            f"one record is larger than {HARD_BYTES // 1_000_000} MB", hint="Ask the source for fewer fields."
        )
    return line
