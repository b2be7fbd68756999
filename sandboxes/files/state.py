"""The files on offer. Tests may put others in their place."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandboxes.behaviour.limits import Arrival
from sandboxes.behaviour.server import Behaviour
from sandboxes.data import generated_shop, northwind_shop
from sandboxes.data.documents import Shop

Rows = Sequence[Mapping[str, Any]]
Content = tuple[bytes, Callable[[], Rows] | None]


@dataclass(frozen=True)
class StoredFile:
    """One file: its bytes, its time of change in whole seconds, and for a CSV the rows that variants are made of."""

    content: bytes
    modified: datetime
    rows: Callable[[], Rows] | None = None
    made: dict[str, tuple[bytes, str]] = field(default_factory=dict, compare=False)
    """Variants made so far with their ETags, by their query; the file never changes, so they stay good."""


class FilesState:
    """What one file sandbox serves: names such as `products.csv` to files."""

    def __init__(self, contents: Mapping[str, Content], behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self._contents = contents
        self._latest: datetime | None = None
        self.files: dict[str, StoredFile] = {}
        self.reset_data()

    @classmethod
    def northwind(cls, behaviour: Behaviour | None = None) -> "FilesState":
        """The two real CSV files as they are, and the shop as JSON."""
        contents = _json_files(northwind_shop.load())
        contents["products.csv"] = northwind_shop.csv_bytes("products"), lambda: northwind_shop.rows("products")
        contents["suppliers.csv"] = northwind_shop.csv_bytes("suppliers"), lambda: northwind_shop.rows("suppliers")
        return cls(contents, behaviour)

    @classmethod
    def generated(cls, products: int, seed: int = 1, behaviour: Behaviour | None = None) -> "FilesState":
        """A made shop, the same for the same seed."""
        contents = _json_files(generated_shop.load(products, seed))

        def rows() -> Rows:
            # made anew when a variant asks for them: 100,000 rows as objects would take 100 MB for good
            return [_texts(record) for record in generated_shop.generate_products(products, seed)]

        contents["products.csv"] = write_csv(rows()).encode(), rows
        return cls(contents, behaviour)

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request since the start or the last reset, in order."""
        return self.behaviour.log.arrivals

    def worst_window(self, seconds: float) -> int:
        """The most arrivals that any window of this length saw from one account."""
        return self.behaviour.log.worst_window(seconds)

    def put(self, name: str, content: bytes, rows: Callable[[], Rows] | None = None) -> None:
        """Put a file in place, with a later time of change than all others; without rows it has no CSV variants."""
        now = self.behaviour.wall().replace(microsecond=0)
        if self._latest is not None:
            now = max(now, self._latest + timedelta(seconds=1))
        self._latest = now
        self.files[name] = StoredFile(content, now, rows)

    def put_rows(self, name: str, rows: Rows) -> None:
        """Put a CSV file in place, written from these rows."""
        self.put(name, write_csv(rows).encode(), lambda: rows)

    def remove(self, name: str) -> None:
        """Take a file away. KeyError when there is none of that name."""
        del self.files[name]

    def reset(self) -> None:
        """The first files, no faults, an empty log, the first credentials and limits."""
        self.behaviour.reset()
        self.reset_data()

    def reset_data(self) -> None:
        """The first files only."""
        now = self.behaviour.wall().replace(microsecond=0)
        self.files = {name: StoredFile(content, now, rows) for name, (content, rows) in self._contents.items()}
        self._latest = now


def write_csv(
    rows: Rows, *, delimiter: str = ",", quotechar: str = '"', header: bool = True, line_end: str = "\n"
) -> str:
    """CSV with quotes where they are needed; columns as in the first row."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, quotechar=quotechar, lineterminator=line_end)
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _json_files(shop: Shop) -> dict[str, Content]:
    return {
        f"{name}.json": (b"[" + b",".join(row.text for row in entity.documents) + b"]", None)
        for name, entity in shop.items()
    }


def _texts(record: Mapping[str, Any]) -> dict[str, str]:
    words = {None: "", True: "true", False: "false"}
    return {
        name: words[value] if value is None or isinstance(value, bool) else str(value) for name, value in record.items()
    }
