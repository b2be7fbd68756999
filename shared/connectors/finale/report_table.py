"""A report on disk: read once as it arrives, then given out row by row, or by number, with bounded memory."""

import asyncio
from array import array
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.spool import SpoolFile, SpoolSpace
from shared.connectors.finale.report_columns import Column
from shared.connectors.finale.report_rows import ReportRows, column_of, missing_column
from shared.contracts.messages import RawRecord, encode_json

ROWS_AT_ONCE = 500
_TOTAL = "TOTAL:"
"""How the last row of a group begins (seen in grouped reports)."""


class ReportTable:
    """The rows of one report, each a line of a nameless file."""

    def __init__(self, file: SpoolFile, what: str) -> None:
        self._file = file
        self.what = what
        """As messages call it."""
        self.names: tuple[str, ...] = ()
        """Of the columns; empty only without rows."""
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    async def fill(self, chunks: AsyncIterable[bytes], rows: ReportRows) -> None:
        """Take the whole report. Raises what the client and the parser raise, RetryableError for a full disk."""
        async for chunk in chunks:
            await asyncio.to_thread(self._keep, rows.feed(chunk))
        await asyncio.to_thread(self._keep, rows.finish())
        self.names = rows.names

    def column(self, column: Column) -> str | None:
        """The report's own name of it."""
        return column_of(self.names, column)

    def needed(self, column: Column) -> str:
        """As `column`. Raises ConfigurationError where the report has rows and does not show it."""
        found = self.column(column)
        if found is None and self.names:
            raise missing_column(self.what, (column,), self.names)
        return found or ""

    async def scan(self) -> AsyncGenerator[tuple[int, RawRecord], None]:
        """Every row with its number."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            numbers = range(start, min(start + ROWS_AT_ONCE, len(self)))
            for number, row in zip(numbers, await self.rows(numbers), strict=True):
                yield number, row

    async def rows(self, numbers: Iterable[int]) -> list[RawRecord]:
        """These rows."""
        return await asyncio.to_thread(lambda: [self._row(number) for number in numbers])

    def _row(self, number: int) -> RawRecord:
        start, end = self._ends[number], self._ends[number + 1]
        row: RawRecord = parse_json(self._file.read(start, end - start))
        return row

    def _keep(self, rows: Iterable[RawRecord]) -> None:
        lines = [encode_json(row) for row in rows]
        for line in lines:
            self._ends.append(self._ends[-1] + len(line))
        if lines:
            self._file.append(b"".join(lines))


@asynccontextmanager
async def report_table(
    chunks: AsyncIterable[bytes], rows: ReportRows, what: str, spool: SpoolSpace
) -> AsyncIterator[ReportTable]:
    """The report as a table, as long as the context lasts."""
    async with spool.file() as file:
        table = ReportTable(file, what)
        await table.fill(chunks, rows)
        yield table


def is_total(*cells: object) -> bool:
    """Whether a row with these cells is the sum of others."""
    return any(isinstance(cell, str) and cell.startswith(_TOTAL) for cell in cells)


def filled(row: RawRecord) -> RawRecord:
    """The cells that say something."""
    return {name: cell for name, cell in row.items() if cell is not None and cell != ""}
