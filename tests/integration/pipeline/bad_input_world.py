"""A running pipeline beside two vendors whose answers can be spoiled, and the shape of a case of bad input."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline import Pipeline
from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.data.documents import decode, encode
from sandboxes.files.state import FilesState
from sandboxes.json_api.state import JsonApiState
from shared.clock import SystemClock
from shared.contracts.ids import SourceId
from shared.storage.run_views import RunView

PRODUCTS = 77
TOKEN = "s3cr3t-canary-77"
MAPPING: dict[str, Any] = {
    "inventory": {
        "sku": "productID",
        "name": "productName",
        "quantity_on_hand": "unitsInStock",
        "unit_price": "unitPrice",
    }
}
_VALUES = ("external_id", "sku", "name", "quantity_on_hand", "unit_price")
_PAGES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "page": ("items", {"type": "page", "page_param": "page", "size_param": "size", "page_size": 20}),
    "offset": ("results", {"type": "offset", "offset_param": "offset", "limit_param": "limit", "page_size": 20}),
    "cursor": ("data", {"type": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"}),
    "link": ("items", {"type": "link", "next_path": "next"}),
}


class HastyClock(SystemClock):
    """For the bus alone: what waits for a retry comes back at once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.01))


@dataclass(frozen=True)
class Case:
    """One kind of bad input, and what must become of a run that meets it after a good one."""

    name: str
    reads: str
    """`csv` or `json`: a file; else the JSON API in that style of paging."""
    status: str
    category: str | None = None
    says: str = ""
    hint: str = ""
    content: Callable[[bytes], bytes] | None = None
    """What becomes of the file."""
    fault: FaultRule | None = None
    auth: Auth | None = None
    mapping: dict[str, Any] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    """Changes of the entity's configuration."""
    quarantined: int = 0
    duplicates: int = 0
    unchanged: int | None = None
    """Of a run that read to its end."""
    proposal: int | None = None
    calls: int | None = None
    """Requests that the vendor saw; 6 are a first try and five retries."""


@dataclass
class World:
    """What every case uses."""

    pipeline: Pipeline
    files: FilesState
    files_url: str
    shop: JsonApiState
    shop_url: str

    async def add(self, case: Case, *, spoiled: bool = False) -> SourceId:
        """A source of the case; `spoiled`: with the case's own mapping and configuration from the start."""
        source = await self.pipeline.add_source(
            self._config(case.reads, {}),
            {"type": "bearer", "token": TOKEN},
            source_type="csv_api" if case.reads == "csv" else "json_api",
            field_mappings=MAPPING,
        )
        if spoiled:
            await self._configure(source, case)
        return source

    async def spoil(self, case: Case, source: SourceId) -> None:
        """From now on the input is bad."""
        for state in (self.files, self.shop):
            state.behaviour.log.clear()
            if case.auth is not None:
                state.behaviour.auth = case.auth
            if case.fault is not None:
                state.behaviour.faults.set(case.fault)
        if case.content is not None:
            name = f"products.{case.reads}"
            self.files.put(name, case.content(self.files.files[name].content))
        await self._configure(source, case)

    def reset(self) -> None:
        """The vendors as at the start."""
        self.files.reset()
        self.shop.reset()

    async def mend(self, case: Case, source: SourceId) -> None:
        """As at the start."""
        self.reset()
        await self._store(source, self._config(case.reads, {}), MAPPING)

    @property
    def calls(self) -> int:
        return len(self.files.arrivals) + len(self.shop.arrivals)

    async def rows(self, source: SourceId) -> list[dict[str, Any]]:
        """Every column of every row, deleted ones included."""
        return await self.pipeline.rows("inventory", source, deleted=True)

    async def values(self, source: SourceId) -> dict[str, tuple[str, ...]]:
        """The mapped values of each row as text."""
        return {row["external_id"]: tuple(str(row[name]) for name in _VALUES) for row in await self.rows(source)}

    async def _configure(self, source: SourceId, case: Case) -> None:
        await self._store(source, self._config(case.reads, case.config), case.mapping or MAPPING)

    async def _store(self, source: SourceId, config: dict[str, Any], mapping: dict[str, Any]) -> None:
        await self.pipeline.admin.execute(
            "update external_data_sources set config = $2, field_mappings = $3 where id = $1",
            source,
            json.dumps(config),
            json.dumps(mapping),
        )

    def _config(self, reads: str, changes: dict[str, Any]) -> dict[str, Any]:
        if reads == "csv":
            entity = {"url": f"{self.files_url}/products.csv", "id_column": "productID"}
        elif reads == "json":
            entity = {"url": f"{self.files_url}/products.json", "id_path": "productID"}
        else:
            path, pagination = _PAGES[reads]
            entity = {
                "url": f"{self.shop_url}/{reads}/products?limit=20",
                "id_path": "productID",
                "records_path": path,
                "pagination": pagination,
            }
        return {"entities": {"inventory": entity | changes}}


def balance(run: RunView) -> None:
    """Whatever was read is accounted for."""
    counters = run.entities["inventory"]
    found = counters.inserted + counters.updated + counters.unchanged
    assert counters.read == found + counters.filtered + counters.duplicates + counters.quarantined, run


def edited(change: Callable[[list[Any]], None]) -> Callable[[bytes], bytes]:
    """A change of a JSON file's list."""

    def apply(content: bytes) -> bytes:
        records = decode(content)
        change(records)
        return encode(records)

    return apply


def rewritten(change: Callable[[list[list[str]]], None]) -> Callable[[bytes], bytes]:
    """A change of a CSV file's rows, the header among them."""

    def apply(content: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode())))
        change(rows)
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    return apply
