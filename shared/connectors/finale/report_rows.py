"""A report's body to rows, as it arrives: CSV or a list of objects, each row an object by column. No I/O."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from shared.connector_sdk.csv_rows import BrokenRow, RowReader
from shared.connector_sdk.json_stream import JsonRecords
from shared.connector_sdk.text_body import TextBody
from shared.connectors.finale.numbers import NO_VALUE
from shared.connectors.finale.report_columns import SCREEN_NAMES, Column
from shared.contracts.messages import RawRecord
from shared.errors import ConfigurationError, DataError, UnusableBodyError

MAX_COLUMNS = 1_000
_LINES_ABOVE = 20
"""Lines that may stand before the header: a title, the date."""
_SHOWN_NAMES, _SHOWN_CHARS = 20, 40
_FAILED_HINT = "Open the report in Finale. If it works there, sync again; else repair it and copy its new address."


class ReportRows(Protocol):
    """Feed it the body in pieces; it yields rows: column to text, number, None for `--`, or empty text for a blank."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns; empty as long as none was seen."""
        ...

    def feed(self, data: bytes) -> Iterator[RawRecord]: ...

    def finish(self) -> Iterator[RawRecord]: ...


def column_names(header: Iterable[str]) -> tuple[str, ...]:
    """Headers as fields: line feeds become spaces, a name that comes again gets its number."""
    found: dict[str, None] = {}
    for position, cell in enumerate(header, start=1):
        name = unique = " ".join(cell.split()) or f"column {position}"
        again = 1
        while unique in found:
            again += 1
            unique = f"{name} ({again})"
        found[unique] = None
    if len(found) > MAX_COLUMNS:
        raise DataError(f"the report has {len(found):,} columns; {MAX_COLUMNS:,} are allowed")
    return tuple(found)


def column_of(names: Iterable[str], column: Column) -> str | None:
    """The report's own name of a column; None where it has none of them."""
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(name.lower(), name)
    return next((known[name] for name in column.names if name in known), None)


def shown_names(names: Iterable[str]) -> str:
    """Column names as a message may quote them: bounded, printable."""
    texts = ["".join(char if char.isprintable() else " " for char in name[:_SHOWN_CHARS]) for name in names]
    more = f" and {len(texts) - _SHOWN_NAMES} more" if len(texts) > _SHOWN_NAMES else ""
    return (", ".join(texts[:_SHOWN_NAMES]) or "none") + more


class CsvRows:
    """Of `format=csv`: CR LF, line feeds within quotes, anything above the header, which is known by its key column."""

    def __init__(self, keys: tuple[Column, ...], content_type: str, what: str) -> None:
        self.names: tuple[str, ...] = ()
        self._keys = keys
        self._what = what
        self._body = TextBody(None, content_type, what)
        self._reader = RowReader(delimiter=",", quotechar='"', skip_lines=0, place=what)
        self._above: deque[list[str]] = deque()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        """Raises DataError, ConfigurationError (no key column) and UnusableBodyError (cut, or no CSV at all)."""
        if not self._begun and (start := data.lstrip(b"\xef\xbb\xbf \r\n\t")):
            self._begun = True
            if start.startswith((b"{", b"[{")):
                raise UnusableBodyError(f"{self._what}: Finale sent JSON where CSV was due", hint=_FAILED_HINT)
        yield from self._attempt(row for text in self._body.feed(data) for row in self._reader.feed(text))

    def finish(self) -> Iterator[RawRecord]:
        """The rest."""
        yield from self._attempt(row for text in self._body.finish() for row in self._reader.feed(text))
        yield from self._attempt(self._reader.finish())
        if not self.names:
            raise self._no_key()

    def _attempt(self, rows: Iterable[list[str] | BrokenRow]) -> Iterator[RawRecord]:
        try:
            yield from self._records(rows)
        except (DataError, UnusableBodyError) as error:
            error.hint = _FAILED_HINT
            raise

    def _records(self, rows: Iterable[list[str] | BrokenRow]) -> Iterator[RawRecord]:
        for row in rows:
            if isinstance(row, BrokenRow):
                raise DataError(f"{self._what}: line {self._reader.line}: {row.reason}")
            if not any(row):
                continue
            if not self.names:
                self._above.append(row)
                names = column_names(row)
                if any(column_of(names, key) for key in self._keys):
                    self.names = names
                elif len(self._above) > _LINES_ABOVE:
                    raise self._no_key()
            elif len(row) != len(self.names):
                raise DataError(
                    f"{self._what}: line {self._reader.line} has {len(row)} values for {len(self.names)} columns"
                )
            else:
                yield {name: None if cell == NO_VALUE else cell for name, cell in zip(self.names, row, strict=True)}

    def _no_key(self) -> ConfigurationError:
        widest: list[str] = max(self._above, key=len, default=[])
        return missing_column(self._what, self._keys, widest)


class ObjectRows:
    """Of `format=jsonObject`: a list of objects. Of two columns with one name it can hold the last alone."""

    def __init__(self, keys: tuple[Column, ...], content_type: str, what: str) -> None:
        self.names: tuple[str, ...] = ()
        self._keys = keys
        self._what = what
        self._records = JsonRecords((), content_type)
        self._headers: dict[str, str] = {}

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        """Raises as CsvRows does."""
        yield from self._attempt(self._records.feed(data))

    def finish(self) -> Iterator[RawRecord]:
        """The rest."""
        yield from self._attempt(self._records.finish())
        if self._records.found != "array":
            raise UnusableBodyError(f"{self._what}: Finale sent no list of rows", hint=_FAILED_HINT)

    def _attempt(self, elements: Iterable[Any]) -> Iterator[RawRecord]:
        try:
            yield from self._rows(elements)
        except (DataError, UnusableBodyError) as error:
            error.hint = error.hint or _FAILED_HINT
            raise

    def _rows(self, elements: Iterable[Any]) -> Iterator[RawRecord]:
        for element in elements:
            if not isinstance(element, dict):
                raise DataError(f"{self._what}: a row is no object", hint="Ask for format=jsonObject.")
            if element.keys() - self._headers.keys():
                self._learn(element)
            yield {self._headers[name]: _cell(value) for name, value in element.items()}

    def _learn(self, element: RawRecord) -> None:
        headers = list(dict.fromkeys([*self._headers, *element]))
        self.names = column_names(headers)
        if not any(column_of(self.names, key) for key in self._keys):
            raise missing_column(self._what, self._keys, self.names)
        self._headers = dict(zip(headers, self.names, strict=True))


def _cell(value: Any) -> Any:
    return None if value == NO_VALUE else value


def missing_column(what: str, keys: tuple[Column, ...], names: Iterable[str]) -> ConfigurationError:
    """In the words of Finale's screen."""
    wanted = " or ".join(SCREEN_NAMES[key.field] for key in keys)
    return ConfigurationError(
        f"{what} has no column {wanted}; its columns are {shown_names(column_names(names))}",
        hint=f"In Finale, open this report, add the column {wanted} to it, save it, and copy its new address "
        "into report_urls. Is it the right report?",
    )
