"""One entity's records, kept as JSON text in the order of their ids, so that a page is one slice of one buffer."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from sandboxes.data.documents import Document, Entity, decode, document

SortKey = tuple[int, str]
"""(number, "") for integer ids, (0, text) for the others: one order for both."""

_MAX_VIEWS = 8  # a reader that asks with a new `updated_since` each time must not fill the memory


class View:
    """An unchanging selection of records. A page is `slice(start, stop)` of positions in it."""

    def __init__(self, rows: Iterable[tuple[SortKey, Document]]) -> None:
        self._order: list[SortKey] = []
        self._ends = [0]
        parts: list[bytes] = []
        for key, row in rows:
            self._order.append(key)
            parts.append(row.text)
            self._ends.append(self._ends[-1] + len(row.text) + 1)
        self._text = memoryview(b",".join(parts))

    def __len__(self) -> int:
        return len(self._order)

    def after(self, key: SortKey | None) -> int:
        """The position of the first record behind this id, which need not exist any more."""
        return 0 if key is None else bisect_right(self._order, key)

    def key_at(self, position: int) -> SortKey:
        """The id at a position."""
        return self._order[position]

    def slice(self, start: int, stop: int) -> memoryview:
        """The JSON of the records from start to stop, with commas between them, without brackets."""
        stop = min(stop, len(self))
        return self._text[self._ends[start] : self._ends[stop] - 1] if start < stop else memoryview(b"")


class Table:
    """The records of one entity; every change moves a record's time of change forward."""

    def __init__(self, data: Entity, tick: Callable[[], str]) -> None:
        self.shape = data.shape
        self._tick = tick
        self._rows = {self._sort_key(row.key): row for row in data.documents}
        self._views: dict[str | None, View] = {}

    def parse_key(self, text: str) -> SortKey:
        """The id as a path or a cursor spells it. ValueError when it cannot be an id here."""
        return (int(text), "") if self.shape.numeric_key else (0, text)

    def key_text(self, key: SortKey) -> str:
        """The opposite of `parse_key`."""
        return str(key[0]) if self.shape.numeric_key else key[1]

    def get(self, key: SortKey) -> Document | None:
        """One record."""
        return self._rows.get(key)

    def keys(self) -> list[int | str]:
        """All ids in order."""
        return [self._rows[key].key for key in sorted(self._rows)]

    def records(self) -> list[dict[str, Any]]:
        """All records in the order of their ids; numbers are int or Decimal."""
        return [decode(self._rows[key].text) for key in sorted(self._rows)]

    def view(self, since: str | None) -> View:
        """All records, or those changed at or after `since` (RFC 3339 in UTC with milliseconds and Z)."""
        found = self._views.get(since)
        if found is None:
            rows = sorted(self._rows.items())
            found = View(row for row in rows if since is None or row[1].updated >= since)
            while len(self._views) >= _MAX_VIEWS:
                del self._views[next(iter(self._views))]
            self._views[since] = found
        return found

    def edit(self, key: int | str, fields: dict[str, Any]) -> None:
        """Set fields of one record. KeyError when it does not exist; ValueError when its id would change."""
        record = decode(self._rows[self._sort_key(key)].text)
        if fields.get(self.shape.key, key) != key:
            raise ValueError("an id cannot be changed")
        self._put({**record, self.shape.updated: self._tick(), **fields})

    def add(self, record: dict[str, Any]) -> int | str:
        """Add a record and return its id: the next number when the record has none. ValueError when it exists."""
        if self.shape.numeric_key and self.shape.key not in record:
            record = {self.shape.key: max(self._rows, default=(0, ""))[0] + 1, **record}
        if self.shape.key not in record:
            raise ValueError(f"{self.shape.key} is missing")
        if self._sort_key(record[self.shape.key]) in self._rows:
            raise ValueError(f"{record[self.shape.key]} exists already")
        return self._put({self.shape.updated: self._tick(), **record})

    def remove(self, key: int | str) -> None:
        """Remove a record without a trace, as most vendors do. KeyError when it does not exist."""
        del self._rows[self._sort_key(key)]
        self._views.clear()

    def change(self, percent: float) -> list[int | str]:
        """Change the volatile field of so many percent of the records, evenly spread; returns their ids."""
        order = sorted(self._rows)
        count = min(len(order), max(1, round(len(order) * percent / 100))) if percent > 0 else 0
        changed = [self._rows[order[position * len(order) // count]] for position in range(count)]
        for row in changed:
            value = decode(row.text).get(self.shape.volatile)
            fresh = value + 7 if isinstance(value, int) else f"{value or ''}*"
            self.edit(row.key, {self.shape.volatile: fresh})
        return [row.key for row in changed]

    def _put(self, record: dict[str, Any]) -> int | str:
        row = document(self.shape, record)
        self._rows[self._sort_key(row.key)] = row
        self._views.clear()
        return row.key

    def _sort_key(self, key: int | str) -> SortKey:
        if isinstance(key, int) != self.shape.numeric_key:
            raise KeyError(key)
        return (key, "") if isinstance(key, int) else (0, key)
