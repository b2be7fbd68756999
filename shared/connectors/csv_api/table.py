"""Rows to records: the header is checked once, every row against it. A row that does not fit is never shifted."""

from collections import Counter
from collections.abc import Iterable, Iterator

from shared.connector_sdk.csv_rows import BrokenRow, RowReader
from shared.connector_sdk.protocol import BadRecord
from shared.connectors.csv_api.config import MAX_COLUMNS, EntityConfig
from shared.contracts.messages import RawRecord
from shared.errors import DataError, UnusableBodyError

_SHOWN_NAMES, _SHOWN_CHARS = 20, 40

TableRecord = RawRecord | BadRecord


class Table:
    """Feed it text, it yields records: column to text, or to None where the cell is one of the null values."""

    def __init__(self, config: EntityConfig, place: str) -> None:
        self._place = place
        self._id_column = config.id_column
        self._nulls = frozenset(config.null_values)
        self._columns = config.columns
        self._reader = RowReader(
            delimiter=config.delimiter, quotechar=config.quotechar, skip_lines=config.skip_rows, place=place
        )

    def feed(self, text: str) -> Iterator[TableRecord]:
        """Raises DataError for a header that cannot be used, and as RowReader does."""
        return self._records(self._reader.feed(text))

    def finish(self) -> Iterator[TableRecord]:
        """The rest. Raises UnusableBodyError when there was not even a header, and as RowReader does."""
        yield from self._records(self._reader.finish())
        if self._columns is None:
            raise UnusableBodyError(f"{self._place} sent a file without a header line")

    def _records(self, rows: Iterable[list[str] | BrokenRow]) -> Iterator[TableRecord]:
        nulls = self._nulls
        for row in rows:
            if isinstance(row, BrokenRow):
                yield self._bad(row.reason)
            elif not any(row) or (len(row) == 1 and not row[0].strip()):
                continue  # an empty line, or `,,,,` as spreadsheets leave it below the data
            elif self._columns is None:
                self._columns = self._header(row)
            elif len(row) == len(self._columns):
                yield {name: None if cell in nulls else cell for name, cell in zip(self._columns, row, strict=True)}
            else:
                yield self._bad(f"expected {len(self._columns)} columns, got {len(row)}")

    def _bad(self, reason: str) -> BadRecord:
        """Without a key: which of its cells is which, nobody knows."""
        if self._columns is None:
            raise DataError(f"{self._place} sent a file whose header cannot be read: {reason}")
        return BadRecord(raw=self._reader.raw, reason=f"line {self._reader.line}: {reason}")

    def _header(self, row: list[str]) -> tuple[str, ...]:
        names = tuple(cell.strip() or f"column {position}" for position, cell in enumerate(row, start=1))
        if len(names) > MAX_COLUMNS:
            raise DataError(f"{self._place} sent a file of {len(names):,} columns; {MAX_COLUMNS:,} are allowed")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(
                f"{self._place} sent a header that names columns twice: {_shown(twice)}",
                hint="Which of them is meant cannot be told: rename them, or set `columns` and `skip_rows`.",
            )
        if self._id_column not in names:
            alone = " It has one column only: is `delimiter` right?" if len(names) == 1 else ""
            raise DataError(
                f"{self._place} has no column {_shown([self._id_column])}; its columns are {_shown(names)}",
                hint=f"Set id_column to one of them.{alone}",
            )
        return names


def _shown(names: Iterable[str]) -> str:
    """Column names as a message may quote them: bounded, printable."""
    texts = ["".join(char if char.isprintable() else "?" for char in name[:_SHOWN_CHARS]) for name in names]
    more = f" and {len(texts) - _SHOWN_NAMES} more" if len(texts) > _SHOWN_NAMES else ""
    return ", ".join(repr(text) for text in texts[:_SHOWN_NAMES]) + more
