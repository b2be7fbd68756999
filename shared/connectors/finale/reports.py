"""Calls the Reporting API: one report, whole, onto the disk (Finale documentation, reporting API)."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager

from shared.connector_sdk.protocol import Request
from shared.connectors.finale.account import Account
from shared.connectors.finale.report_columns import ITEM, ORDER, SUPPLIER_ID, SUPPLIER_NAME, Column
from shared.connectors.finale.report_rows import CsvRows, ObjectRows, ReportRows
from shared.connectors.finale.report_table import ReportTable, report_table
from shared.connectors.finale.report_urls import data_url, format_of
from shared.contracts.ids import Entity
from shared.contracts.messages import RawRecord

SILENCE = 600.0
"""Seconds until a report's first byte: Finale works on it for minutes before it answers."""
TURN = ("report",)
"""Our own limit class, in which one call is made at a time. The collection before a report counts in it too: who waits
for another's report waits before that call, and does not make it again and again."""
TURNS = 2
"""Calls of a step that count in it."""
KEYS: Mapping[Entity, tuple[Column, ...]] = {
    "inventory": (ITEM,),
    "vendors": (SUPPLIER_ID, SUPPLIER_NAME),
    "purchase_orders": (ORDER,),
}
"""Columns by which a report's rows are known; one is due."""


class Reports:
    """The configured reports of one account."""

    def __init__(self, account: Account, urls: Mapping[Entity, str]) -> None:
        self._account = account
        self._urls = urls

    def __contains__(self, entity: Entity) -> bool:
        return entity in self._urls

    @asynccontextmanager
    async def table(self, entity: Entity) -> AsyncIterator[ReportTable]:
        """The whole report. Raises what the client and the parser raise."""
        headers: dict[str, str] = {}
        rows = _LateRows(entity, format_of(self._urls[entity]), headers)
        async with (
            aclosing(self._chunks(entity, headers)) as chunks,
            report_table(chunks, rows, _what(entity), self._account.spool) as table,
        ):
            yield table

    async def first_rows(self, entity: Entity, most: int) -> int:
        """How many rows the report's beginning holds, at most `most`; then it hangs up. Raises as `table` does."""
        headers: dict[str, str] = {}
        rows = _LateRows(entity, format_of(self._urls[entity]), headers)
        count = 0
        async with aclosing(self._chunks(entity, headers)) as chunks:
            async for chunk in chunks:
                count += sum(1 for _ in rows.feed(chunk))
                if count >= most:
                    return most
        return min(most, count + sum(1 for _ in rows.finish()))

    def _chunks(self, entity: Entity, headers: dict[str, str]) -> AsyncGenerator[bytes, None]:
        request = Request(
            "GET",
            data_url(self._urls[entity]),
            headers={"Accept": "text/csv, application/json"},
            limit_class="get",
            also_counts_in=("collection", *TURN),
            patience=SILENCE,
        )
        return self._account.chunks(request, "report", headers.update)


class _LateRows:
    """The parser, which is made when the answer's headers are there."""

    def __init__(self, entity: Entity, form: str, headers: Mapping[str, str]) -> None:
        self._entity = entity
        self._make = ObjectRows if form == "jsonObject" else CsvRows
        self._headers = headers
        self._rows: ReportRows | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self._parser.names

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        return self._parser.feed(data)

    def finish(self) -> Iterator[RawRecord]:
        return self._parser.finish()

    @property
    def _parser(self) -> ReportRows:
        if self._rows is None:
            content_type = self._headers.get("content-type", "")
            self._rows = self._make(KEYS[self._entity], content_type, _what(self._entity))
        return self._rows


def _what(entity: Entity) -> str:
    return f"the report of {entity}"
