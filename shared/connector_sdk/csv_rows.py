"""CSV text to rows, pushed in pieces of any size: quoted line ends may lie anywhere, memory is bounded by one row."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from shared.errors import DataError, UnusableBodyError

MAX_FIELD_CHARS = 1_000_000
MAX_ROW_CHARS = 4_000_000

_UNCLOSED_HINT = "A quote that is opened and never closed swallows all that follows: check quotechar and the file."


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row whose quotes make no sense."""

    reason: str


class _NeedMoreError(Exception):
    """The lines are used up and the file has not ended."""


class _Lines:
    """What csv.reader pulls from: the lines at hand. Keeps those of the row being read, to begin it again."""

    def __init__(self) -> None:
        self._ready: Iterator[str] = iter(())
        self.row: list[str] = []
        self.count = 0
        """Lines taken so far."""
        self.last_piece = False
        self.exhausted = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._ready:
            self.row.append(line)
            self.count += 1
            return line
        if not self.last_piece:
            raise _NeedMoreError
        self.exhausted = True
        raise StopIteration

    def add(self, text: str) -> None:
        """More lines, behind those of a row that was not whole yet."""
        unread = self.row
        self.count -= len(unread)
        self.row = []
        self._ready = chain(unread, io.StringIO(text, newline=""))

    def skip(self) -> bool:
        """Leave out a line; False when none is at hand."""
        taken = next(self._ready, None)
        self.count += taken is not None
        return taken is not None


class RowReader:
    """A push parser around the standard library's: quotes are doubled inside quotes, lines end with LF, CR LF or CR.

    After a row was yielded, `line` is the number of its first line and `raw` its text.
    """

    def __init__(self, *, delimiter: str, quotechar: str, skip_lines: int, place: str) -> None:
        csv.field_size_limit(MAX_FIELD_CHARS)  # the module's only switch is global; nobody else here parses CSV
        self._lines = _Lines()
        self._reader = csv.reader(
            self._lines,
            delimiter=delimiter,
            quotechar=quotechar or None,
            quoting=csv.QUOTE_MINIMAL if quotechar else csv.QUOTE_NONE,
            strict=True,
        )
        self._skip = skip_lines
        self._place = place
        self._held: list[str] = []
        """Text behind the last line end; also whole lines, as long as they are few beside `_unfinished`."""
        self._held_chars = 0
        self._unfinished = 0
        """Characters of a row whose quotes were still open: it is read again from its start."""

    @property
    def line(self) -> int:
        """From 1, as editors count."""
        return self._lines.count - len(self._lines.row) + 1

    @property
    def raw(self) -> str:
        """The row as it stands in the file, without its line end."""
        return "".join(self._lines.row).rstrip("\r\n")

    def feed(self, text: str) -> Iterator[list[str] | BrokenRow]:
        """The rows that are whole now; an empty line is an empty row. Raises DataError for a row without end."""
        self._held.append(text)
        self._held_chars += len(text)
        has_end = "\n" in text or "\r" in text
        # Reading a row again only when it may have doubled keeps the work linear, however small the pieces are.
        if (has_end and self._held_chars >= self._unfinished) or self._held_chars > MAX_ROW_CHARS:
            text = "".join(self._held)
            end = 1 + max(text.rfind("\n"), text.rfind("\r", 0, -1))  # a CR at the very end may be half of a CR LF
            self._held, self._held_chars = [text[end:]], len(text) - end
            if self._held_chars > MAX_ROW_CHARS:
                raise self._too_long()
            if end:
                self._lines.add(text[:end])
                yield from self._rows()

    def finish(self) -> Iterator[list[str] | BrokenRow]:
        """The rows that the end of the file makes whole. Raises UnusableBodyError when it ends inside quotes."""
        self._lines.add("".join(self._held))
        self._lines.last_piece = True
        self._held, self._held_chars = [], 0
        yield from self._rows()

    def _rows(self) -> Iterator[list[str] | BrokenRow]:
        while self._skip:
            if not self._lines.skip():
                return
            self._skip -= 1
        while True:
            self._lines.row.clear()
            try:
                row: list[str] | BrokenRow = next(self._reader)
            except _NeedMoreError:
                self._unfinished = sum(map(len, self._lines.row))
                if self._unfinished > MAX_ROW_CHARS:
                    raise self._too_long() from None
                return
            except StopIteration:
                return
            except csv.Error as error:
                row = self._broken(error)
            yield row

    def _broken(self, error: csv.Error) -> BrokenRow:
        if self._lines.exhausted:
            raise UnusableBodyError(
                f"{self._place} sent a file that ends inside the quotes of line {self.line}", hint=_UNCLOSED_HINT
            ) from None
        if "field limit" in str(error):
            raise DataError(
                f"{self._place} sent a value of more than {MAX_FIELD_CHARS:,} characters in line {self.line}",
                hint=_UNCLOSED_HINT,
            ) from None
        return BrokenRow("a quoted value goes on behind its closing quote")

    def _too_long(self) -> DataError:
        return DataError(
            f"{self._place} sent a row of more than {MAX_ROW_CHARS:,} characters in line {self.line}",
            hint=_UNCLOSED_HINT,
        )
