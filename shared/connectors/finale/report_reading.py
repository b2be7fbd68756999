"""Products and suppliers with what a report tells of them.

The collection is the list of what there is, with the addresses that records are known by; the report adds to each. So a
report that leaves records out, or names others, is seen, and no row is taken for gone or made up because of it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import TypeVar

from shared.connector_sdk.protocol import BadRecord
from shared.connectors.finale.account import Account, BeyondCapError
from shared.connectors.finale.numbers import formatted_number, parsed
from shared.connectors.finale.report_columns import ITEM, STOCK, SUPPLIER_ID, SUPPLIER_NAME
from shared.connectors.finale.report_table import ROWS_AT_ONCE, ReportTable, filled, is_total
from shared.connectors.finale.reports import TURN, Reports
from shared.connectors.finale.stock import STOCK_CALLS, Stock, read_stock
from shared.contracts.messages import RawRecord, encode_json
from shared.errors import ConfigurationError, DataError
from shared.expressions.exact import is_number, plain_text

PRODUCT_CALLS = 2 + STOCK_CALLS
"""product, the report, and the stock: where it lies no report tells, and no row may differ by the way it is read."""
SUPPLIER_CALLS = 2
MOST_UNKNOWN = 1_000
_Row = TypeVar("_Row")


class ReportReader:
    """Reads what a report of products or suppliers and its collection tell together."""

    def __init__(self, account: Account, reports: Reports) -> None:
        self._account = account
        self._reports = reports

    async def products(self) -> AsyncGenerator[RawRecord | BadRecord, None]:
        """Every product of the account. Raises DataError for a report that leaves some out."""
        async with (
            self._account.collection("product", "productUrl", "productId", also_counts_in=TURN) as products,
            self._reports.table("inventory") as report,
        ):
            index = await _index(report, report.needed(ITEM))
            columns = await _stock_columns(report)
            stock = await self._stock(needed=len(columns) < len(STOCK))
            async for block in blocks(products.rows()):
                rows = await index.take([key_text(row.get("productId")) for row in block])
                for record, row in zip(block, rows, strict=True):
                    if row is not None:
                        yield _with_stock(record, row, columns, stock)
            for bad in await index.rest(products.length, "products", "inventory"):
                yield bad

    async def _stock(self, *, needed: bool) -> Stock:
        """Where the report has all quantities, an account that has too much stock to be summed does without places."""
        try:
            return await read_stock(self._account)
        except BeyondCapError:
            if needed:
                raise
            return Stock({}, None)

    async def suppliers(self) -> AsyncGenerator[RawRecord | BadRecord, None]:
        """Every supplier of the account. Raises as `products`."""
        async with (
            self._account.collection("partygroup", "partyGroupUrl", "roleTypeIdList", also_counts_in=TURN) as parties,
            self._reports.table("vendors") as report,
        ):
            by_id = report.column(SUPPLIER_ID)
            index = await _index(report, by_id or report.needed(SUPPLIER_NAME))
            seen: set[str] = set()
            suppliers = 0
            async for block in blocks(parties.rows()):
                mine = [row for row in block if "SUPPLIER" in (row.get("roleTypeIdList") or ())]
                others = [row for row in block if "SUPPLIER" not in (row.get("roleTypeIdList") or ())]
                suppliers += len(mine)
                keys = [_party_key(row, by_id=by_id is not None) for row in mine]
                if by_id is None:
                    _check_names(keys, seen)
                for record, row in zip(mine, await index.take(keys), strict=True):
                    if row is not None:
                        yield merged(record, row)
                index.ignore(_party_key(row, by_id=by_id is not None) for row in others)
            for bad in await index.rest(suppliers, "suppliers", "vendors"):
                yield bad


class _Index:
    """The rows of a report by key, taken one by one."""

    def __init__(self, report: ReportTable, column: str, rows: dict[str, int]) -> None:
        self._report = report
        self._column = column
        self._rows = rows
        self._ignored: set[str] = set()
        self._taken = 0
        self._missing: list[str] = []

    async def take(self, keys: list[str]) -> list[RawRecord | None]:
        """The rows of these keys; None, and remembered, where the report has none."""
        numbers = [self._rows.pop(key, None) for key in keys]
        self._missing += [key for key, number in zip(keys, numbers, strict=True) if number is None]
        rows = iter(await self._report.rows(number for number in numbers if number is not None))
        found = [None if number is None else next(rows) for number in numbers]
        self._taken += len(found) - found.count(None)
        return found

    def ignore(self, keys: Iterable[str]) -> None:
        """Rows that are known and not wanted; a key that belongs to a wanted record too is that one's."""
        self._ignored.update(keys)

    async def rest(self, due: int, things: str, entity: str) -> list[BadRecord]:
        """At the end, what the report names and the account does not have.

        Raises DataError when it leaves out what the account has, ConfigurationError when it knows nothing of it.
        """
        unknown = [key for key in self._rows if key not in self._ignored and not is_total(key)]
        what = self._report.what
        if due and unknown and not self._taken:
            raise ConfigurationError(
                f"{what}: none of its {len(unknown):,} {things} is one of the account's, by its column {self._column}",
                hint=f"Is it the right report, and of this account? Check report_urls.{entity}.",
            )
        if self._missing:
            raise left_out(what, len(self._missing), due, things, self._missing[0])
        if len(unknown) > MOST_UNKNOWN:
            raise DataError(f"{what}: {len(unknown):,} of its {things} are not the account's; nothing was changed")
        rows = await self._report.rows(self._rows[key] for key in unknown)
        reason = f"the report shows it, and the account's {things} do not have it (it may have been made a moment ago)"
        return [BadRecord(encode_json(row).decode(), reason) for row in rows]


def left_out(what: str, missing: int, due: int, things: str, example: str) -> DataError:
    """Rows that a report does not have are no rows that are gone."""
    shown = "".join(char if char.isprintable() else " " for char in example[:60])
    found = "is empty" if missing == due else f"leaves out {missing:,}"
    return DataError(
        f"{what} {found} where the account has {due:,} {things} ({shown} is missing); nothing was changed",
        hint="Take the filters off the report in Finale, so that it shows all, also inactive ones, and copy its new "
        "address into report_urls. If it has none, Finale's answer was old or cut: sync again.",
    )


async def _index(report: ReportTable, column: str) -> _Index:
    """Rows without a key are headers of groups. Raises ConfigurationError for a key that comes twice."""
    rows: dict[str, int] = {}
    async for number, row in report.scan():
        key = key_text(row.get(column))
        if not key:
            continue
        if key in rows and not is_total(key):
            raise ConfigurationError(
                f"{report.what} has several rows for {column} {key[:60]!r}",
                hint="One row each is due: take locations, lots and other details out of the report's rows in Finale, "
                "and copy its new address into report_urls. Is it the right report?",
            )
        rows[key] = number
    return _Index(report, column, rows)


async def _stock_columns(report: ReportTable) -> dict[str, str]:
    """Field to column, of those that hold a number in any row: one of `--` alone tells nothing, and is no 0."""
    shown = {column.field: name for column in STOCK if (name := report.column(column)) is not None}
    telling: set[str] = set()
    async for _, row in report.scan():
        telling |= {
            field for field, name in shown.items() if field not in telling and parsed(row.get(name)) is not None
        }
        if len(telling) == len(shown):
            break
    return {field: name for field, name in shown.items() if field in telling}


def _with_stock(record: RawRecord, row: RawRecord, columns: Mapping[str, str], stock: Stock) -> RawRecord | BadRecord:
    fields = stock.fields(str(record.get("productUrl")))
    try:
        for field, name in columns.items():
            # The row is there, and has no stock to sum up: REST's list of stock has no row of such a product either.
            fields[field] = formatted_number(row.get(name), name) or 0
    except DataError as error:
        return BadRecord(encode_json(row).decode(), f"the report's {error.message}", record.get("productUrl"))
    return merged(record, row) | fields


def merged(record: RawRecord, row: RawRecord) -> RawRecord:
    """The record with the report's columns; a column that is named like a field of REST is marked."""
    return {(f"{name} (report)" if name in record else name): cell for name, cell in filled(row).items()} | record


def key_text(value: object) -> str:
    """A key as text, whether Finale sent it as one or as a number."""
    if isinstance(value, str):
        return value.strip()
    return plain_text(value) if is_number(value) and not isinstance(value, bool) else ""


def _party_key(row: RawRecord, *, by_id: bool) -> str:
    return key_text(row.get("partyId") if by_id else row.get("groupName") or row.get("description"))


def _check_names(keys: list[str], seen: set[str]) -> None:
    for key in keys:
        if key in seen:
            raise ConfigurationError(
                f"two suppliers are named {key[:60]!r}, and the report of vendors tells them by name alone",
                hint="In Finale, add the column Supplier ID to the report, and copy its new address into report_urls.",
            )
        seen.add(key)


async def blocks(rows: AsyncIterator[_Row]) -> AsyncGenerator[list[_Row], None]:
    """The rows, some hundred at a time."""
    block: list[_Row] = []
    async for row in rows:
        block.append(row)
        if len(block) == ROWS_AT_ONCE:
            yield block
            block = []
    if block:
        yield block
