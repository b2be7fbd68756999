"""Purchase orders whose lines come from a report: all at once, where REST has one call for each order.

The collection has every order with all that stands in its head; the report adds the lines, which the head's total
proves.
"""

from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.connector_sdk.protocol import BadRecord
from shared.connectors.finale.account import Account
from shared.connectors.finale.numbers import formatted_number, is_blank, minus, number, summed, times
from shared.connectors.finale.order_completing import OrderCompleter, receipts_of
from shared.connectors.finale.orders_state import Receipts
from shared.connectors.finale.report_columns import ITEM, ORDER, PRICE, QUANTITY
from shared.connectors.finale.report_reading import MOST_UNKNOWN, blocks, key_text, left_out, merged
from shared.connectors.finale.report_table import ReportTable, filled, is_total
from shared.connectors.finale.reports import TURN, Reports
from shared.contracts.messages import RawRecord, encode_json
from shared.errors import ConfigurationError, DataError

ORDER_CALLS = 5
"""order, shipment, partygroup, product, and the report."""
_PURCHASE = "PURCHASE_ORDER"
_ROUNDED = Decimal("0.01")
"""What a line's amount may differ by for its price's last digit."""
_VARIOUS = "Various"
"""In a row that sums up others (seen in reports)."""


class _Columns(NamedTuple):
    """The report's own names of them."""

    order: str
    product: str
    quantity: str
    price: str


class _Found(NamedTuple):
    """What the other reads have found."""

    receipts: Mapping[str, Receipts]
    parties: Mapping[str, str]
    products: Mapping[str, str]


class OrderReportReader:
    """Reads one account's purchase orders in five calls."""

    def __init__(self, account: Account, reports: Reports) -> None:
        self._account = account
        self._reports = reports
        self._completer = OrderCompleter(account)

    async def orders(self) -> AsyncGenerator[RawRecord | BadRecord, None]:
        """Every purchase order. Raises DataError for a report that leaves some out."""
        async with (
            self._account.collection("order", "orderUrl", "orderTypeId", "orderId", also_counts_in=TURN) as orders,
            self._reports.table("purchase_orders") as report,
        ):
            columns = _Columns(*(report.needed(column) for column in (ORDER, ITEM, QUANTITY, PRICE)))
            rows_of = await _rows_of(report, columns)
            taken, due, missing = 0, 0, list[str]()
            found = await self._found()
            async for block in blocks(orders.rows()):
                for order in block:
                    numbers = rows_of.pop(key_text(order.get("orderId")), None)
                    if order.get("orderTypeId") != _PURCHASE:
                        continue
                    due += 1
                    if numbers is None and number(order.get("orderItemListTotal"), "orderItemListTotal"):
                        missing.append(key_text(order.get("orderId")))
                        continue
                    taken += numbers is not None
                    yield self._whole(order, await report.rows(numbers or ()), columns, found)
            for bad in await _rest(report, rows_of, taken, due, missing):
                yield bad

    async def _found(self) -> _Found:
        async with self._account.collection("shipment", "shipmentUrl", "primaryOrderUrl") as shipments:
            receipts = await receipts_of(shipments)
        products: dict[str, str] = {}
        async with self._account.collection("product", "productUrl", "productId") as table:
            async for row in table.rows("productId", "productUrl"):
                products[key_text(row.get("productId"))] = str(row.get("productUrl"))
        return _Found(receipts, await self._completer.unusual_parties(), products)

    def _whole(
        self, order: RawRecord, rows: list[RawRecord], columns: _Columns, found: _Found
    ) -> RawRecord | BadRecord:
        url = str(order.get("orderUrl"))
        try:
            lines = [_line(row, columns, found.products) for row in _lines_among(rows, columns)]
            _prove(order, lines)
        except DataError as error:
            return BadRecord(encode_json(rows).decode(), f"the report's {error.message}", url)
        head = {name: cell for name, cell in rows[0].items() if name not in columns[1:]} if rows else {}
        whole = merged(order | {"orderItemList": lines}, head)
        return self._completer.complete(whole, found.receipts.get(url, Receipts()), found.parties)


async def _rows_of(report: ReportTable, columns: _Columns) -> dict[str, list[int]]:
    """The numbers of each order's rows: one for the order and, with blanks for it, one for each line; or the order
    again in each. Rows of groups and sums belong to none."""
    found: dict[str, list[int]] = {}
    current: list[int] | None = None
    async for at, row in report.scan():
        key = key_text(row.get(columns.order))
        if key and not is_total(key):
            current = found.setdefault(key, [])
            current.append(at)
        elif is_total(*row.values()):
            current = None
        elif current is not None and _says_something(row, columns):
            current.append(at)
    return found


def _says_something(row: RawRecord, columns: _Columns) -> bool:
    return not all(is_blank(row.get(name)) for name in (columns.product, columns.quantity, columns.price))


def _lines_among(rows: list[RawRecord], columns: _Columns) -> list[RawRecord]:
    """Without the order's own row, which has no product, or the sum of what its lines have."""
    if not rows:
        return []
    first, *rest = rows
    product = first.get(columns.product)
    own = is_blank(product) or product == _VARIOUS
    if own and (rest or is_blank(first.get(columns.quantity))):
        return rest
    return rows


def _line(row: RawRecord, columns: _Columns, products: Mapping[str, str]) -> RawRecord:
    """As REST has it; a line whose product was not found at its making has none."""
    line: RawRecord = {name: cell for name, cell in filled(row).items() if name not in columns}
    product = key_text(row.get(columns.product))
    if product:
        if product not in products:
            raise DataError(f"{columns.product} {product[:60]!r} is no product of the account")
        line |= {"productId": product, "productUrl": products[product]}
    for field, name in (("quantity", columns.quantity), ("unitPrice", columns.price)):
        value = formatted_number(row.get(name), name)
        if value is not None:
            line[field] = value
    return line


def _prove(order: RawRecord, lines: list[RawRecord]) -> None:
    """Raises DataError where the lines do not make the total that Finale has."""
    total = number(order.get("orderItemListTotal"), "orderItemListTotal")
    if total is None:
        return
    made = summed(times(line.get("quantity", 0), line.get("unitPrice", 0)) for line in lines)
    if abs(Decimal(minus(made, total))) > _ROUNDED * max(1, len(lines)):
        raise DataError(
            f"lines make {made} where Finale's total is {total}: it leaves lines out, or shows rounded prices "
            "(format=jsonObject does not)"
        )


async def _rest(
    report: ReportTable, rows_of: Mapping[str, list[int]], taken: int, due: int, missing: list[str]
) -> list[BadRecord]:
    if due and rows_of and not taken:
        raise ConfigurationError(
            f"{report.what}: none of its {len(rows_of):,} orders is a purchase order of the account",
            hint="Is it the right report, and of this account? Check report_urls.purchase_orders.",
        )
    if missing:
        raise left_out(report.what, len(missing), due, "purchase orders", missing[0])
    if len(rows_of) > MOST_UNKNOWN:
        raise DataError(f"{report.what}: {len(rows_of):,} of its orders are not the account's; nothing was changed")
    reason = "the report shows it, and the account's orders do not have it (it may have been made a moment ago)"
    rows = await report.rows(numbers[0] for numbers in rows_of.values())
    return [BadRecord(encode_json(row).decode(), reason) for row in rows]
