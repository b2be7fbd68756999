"""A column-major collection on disk: read once as it arrives, then given out row by row with bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.spool import SpoolFile, SpoolSpace
from shared.connectors.finale.numbers import NO_VALUE
from shared.connectors.finale.splitter import ColumnSplitter
from shared.contracts.messages import RawRecord
from shared.errors import DataError, RetryableError

ROWS_AT_ONCE = 500
_BLOCK = 64 * 1024


@dataclass(slots=True)
class _Column:
    begin: int
    end: int
    count: int = 0


class ColumnTable:
    """The columns of one answer, each element a line of a nameless file."""

    def __init__(self, file: SpoolFile, place: str) -> None:
        self._file = file
        self._place = place
        self._splitter = ColumnSplitter()
        self._columns: dict[bytes, _Column] = {}
        self.length = 0
        """Rows."""

    async def fill(self, chunks: AsyncIterable[bytes]) -> None:
        """Take the whole answer. Raises what the client raises, UnusableBodyError for what is no such object or cut,
        DataError for columns of different lengths, RetryableError for a full disk."""
        async for chunk in chunks:
            await asyncio.to_thread(self._take, chunk)
        self._splitter.finish()
        self._measure()

    @property
    def names(self) -> frozenset[str]:
        """Of the columns."""
        return frozenset(map(_text, self._columns))

    @property
    def others(self) -> RawRecord:
        """What stands beside the columns: values that are no lists."""
        return {_text(name): parse_json(value) for name, value in self._splitter.others.items()}

    async def rows(self, *names: str, wanted: Callable[[int], bool] | None = None) -> AsyncGenerator[RawRecord, None]:
        """Each row as an object without its nulls and `--`; of some columns (none: all), of the wanted row numbers."""
        chosen = [name for name in self._columns if not names or _text(name) in names]
        readers = [_lines(self._file, self._columns[name]) for name in chosen]
        for start in range(0, self.length, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, self.length - start)
            for row in await asyncio.to_thread(self._block, chosen, readers, start, count, wanted):
                yield row

    def _block(
        self,
        names: list[bytes],
        readers: list[Iterator[bytes]],
        start: int,
        count: int,
        wanted: Callable[[int], bool] | None,
    ) -> list[RawRecord]:
        columns = [list(islice(reader, count)) for reader in readers]
        rows = []
        for at in range(count):
            if wanted is not None and not wanted(start + at):
                continue
            parts = [
                b"%b:%b" % (name, column[at])
                for name, column in zip(names, columns, strict=True)
                if column[at] != b"null"
            ]
            row = parse_json(b"{%b}" % b",".join(parts))
            rows.append({name: value for name, value in row.items() if value != NO_VALUE})
        return rows

    def _take(self, chunk: bytes) -> None:
        lines: list[bytes] = []
        column: _Column | None = None
        size = self._file.size
        for name, element in self._splitter.feed(chunk):
            if element is None:
                # of a name used twice the last counts
                column = self._columns[name] = _Column(size, size)
                continue
            if column is None:
                column = self._columns[name]
            lines.append(element)
            size += len(element) + 1
            column.end = size
            column.count += 1
        if lines:
            self._file.append(b"\n".join(lines) + b"\n")

    def _measure(self) -> None:
        self.length = max((column.count for column in self._columns.values()), default=0)
        for name, column in self._columns.items():
            if column.count != self.length:
                raise DataError(
                    f"{self._place}: the column {_text(name)} has {column.count:,} values where others have "
                    f"{self.length:,}; which row they belong to cannot be known",
                    hint="Finale sent an inconsistent answer; nothing was changed. Sync again, or report it there.",
                )


@asynccontextmanager
async def column_table(chunks: AsyncIterable[bytes], place: str, spool: SpoolSpace) -> AsyncIterator[ColumnTable]:
    """The answer as a table on disk."""
    async with spool.file() as file:
        table = ColumnTable(file, place)
        await table.fill(chunks)
        yield table


def _lines(file: SpoolFile, column: _Column) -> Iterator[bytes]:
    at, rest = column.begin, b""
    while at < column.end:
        block = file.read(at, min(_BLOCK, column.end - at))
        if not block:
            raise RetryableError("the spooled answer is gone")
        at += len(block)
        *whole, rest = (rest + block).split(b"\n")
        yield from whole


def _text(name: bytes) -> str:
    return str(parse_json(name))
