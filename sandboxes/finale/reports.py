"""The Reporting API: `/{account}/doc/report/pivotTable/.../Report.{ext}` (Finale documentation, reporting API)."""

import base64
import binascii
import csv
import io
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from sandboxes.data.documents import decode
from sandboxes.finale.answering import json_answer, not_found, refused
from sandboxes.finale.formatting import LABELS, formatted
from sandboxes.finale.state import FinaleState
from sandboxes.finale.stock import Totals, stock_rows, totals
from sandboxes.finale.store import Number, Record, RefusedError

Cell = Any
"""A text, a number (int or Decimal), or None for no value."""
_EXTENSIONS = {"csv": "csv", "tsv": "tsv", "json": "json", "jsonObject": "json"}
_PROGRESS = (
    "<!DOCTYPE html><html><head><title>Report</title></head><body>Your report is being prepared...</body></html>"
)


class Table(NamedTuple):
    """A report before it is written in a format."""

    header: list[str]
    rows: Iterator[list[Cell]]


async def report(state: FinaleState, request: web.Request) -> web.StreamResponse:
    """The answer to one request for a report."""
    kind, query = request.match_info["kind"], request.query
    if kind == "pivotTableStream":
        return web.Response(text=_PROGRESS, content_type="text/html")
    extension = request.match_info["file"].removeprefix("Report.")
    if kind != "pivotTable" or extension not in _EXTENSIONS.values():
        return not_found(request.rel_url.raw_path)
    fmt = query.get("format", extension)
    try:
        return _written(state, fmt, _table(state, query, fmt, extension))
    except RefusedError as error:
        return refused(str(error))


def _table(state: FinaleState, query: Mapping[str, str], fmt: str, extension: str) -> Table:
    if _EXTENSIONS.get(fmt) != extension:
        raise RefusedError(f"format {fmt} does not go with Report.{extension}")
    make = _SETS.get(query.get("data", ""))
    if make is None:
        raise RefusedError(f"data is one of {', '.join(_SETS)}")
    return _chosen(make(state, _filters(query.get("filters", ""))), state.switches.report_columns_left_out)


def _chosen(table: Table, left_out: frozenset[str]) -> Table:
    """The columns that its owner has chosen."""
    kept = [at for at, name in enumerate(table.header) if name not in left_out]
    return Table([table.header[at] for at in kept], ([row[at] for at in kept] for row in table.rows))


def _written(state: FinaleState, fmt: str, table: Table) -> web.Response:
    if fmt in ("csv", "tsv"):
        text = _separated(state, table, "," if fmt == "csv" else "\t")
        return web.Response(
            text=text, content_type="text/csv" if fmt == "csv" else "text/tab-separated-values", charset="utf-8"
        )
    if fmt == "json":
        return json_answer([table.header, *table.rows])
    # of two columns with the same name, an object can hold one
    return json_answer([dict(zip(table.header, row, strict=True)) for row in table.rows])


def _separated(state: FinaleState, table: Table, delimiter: str) -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
    if state.switches.report_lines_before_header:
        writer.writerows([["Inventory report"], [formatted(state.store.stamp(), "instant")], []])
    writer.writerow(table.header)
    writer.writerows([_cell(value) for value in row] for row in table.rows)
    return ("\ufeff" if state.switches.report_bom else "") + file.getvalue()


def _cell(value: Cell) -> str | None:
    """A number with thousands separators, `--` for none; an empty text is a blank."""
    return formatted(value, "number" if isinstance(value, Number) else "text")


def _filters(text: str) -> dict[str, set[str]]:
    """The accepted values by filter name; a filter without a value is none. RefusedError when it cannot be read."""
    if not text:
        return {}
    try:
        triples = decode(base64.b64decode(text, validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise RefusedError("filters is not base64 of a JSON array") from None
    if not isinstance(triples, list) or not all(isinstance(one, list) and len(one) == 3 for one in triples):
        raise RefusedError("filters is not a JSON array of [name, value, extra]")
    found: dict[str, set[str]] = {}
    for name, value, _ in triples:
        values = {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one}
        if values:
            found[str(name)] = values
    return found


def _products(state: FinaleState, filters: dict[str, set[str]]) -> Table:
    header = [
        *("Product ID", "Description", "Status", "Category", "Supplier 1", "Supplier 1", "Supplier 1 price"),
        *("Units\nQoH", "Units in stock", "Units on order", "Units reserved", "Reorder point"),
        "Sales last 30 days",
    ]

    def rows() -> Iterator[list[Cell]]:
        stock = totals(state.store)
        for product in state.records("product"):
            if product["statusId"] in filters.get("productStatus", {product["statusId"]}):
                total = stock.get(product["productUrl"])
                yield [
                    *(product["productId"], product.get("internalName"), LABELS[product["statusId"]]),
                    *(product.get("userCategory"), *_suppliers(state, product)),
                    *_quantities(product, total),
                ]

    return Table(header, rows())


def _suppliers(state: FinaleState, product: Record) -> list[Cell]:
    """Name, id and price of the main supplier; several prices of alternatives roll up to `Various`."""
    entries = product["supplierList"]
    main = next((one for one in entries if "MAIN" in one.get("supplierPrefOrderId", "")), None)
    party = state.store.rows["partygroup"].get(main.get("supplierPartyUrl", "")) if main else None
    price = "Various" if len(entries) > 1 else main.get("price") if main else None
    return [party["groupName"], party["partyId"], price] if party else [None, None, price]


def _quantities(product: Record, total: Totals | None) -> list[Cell]:
    points = [one["reorderPoint"] for one in product["reorderGuidelineList"] if "reorderPoint" in one]
    stock: list[Cell] = [None] * 4
    if total is not None:
        stock = [total.on_hand, total.on_hand, total.on_order or None, total.reserved or None]
    return [*stock, sum(points) if points else None, None]


def _stock(state: FinaleState, _filters: dict[str, set[str]]) -> Table:
    """Grouped by location: a header row, rows with a blank group, and a TOTAL row for each group and for all."""

    def rows() -> Iterator[list[Cell]]:
        places = state.store.rows["facility"]
        known = [row for row in stock_rows(state.store) if row["quantityOnHand"]]
        known.sort(key=lambda row: str(row["facilityUrl"]))
        whole: Number = 0
        for url, group in groupby(known, key=lambda row: str(row["facilityUrl"])):
            name = places.get(url, {}).get("facilityName", url)
            total: Number = 0
            yield [name, "", "", ""]
            for row in group:
                total += row["quantityOnHand"]
                yield ["", row["productId"], row["lotId"], row["quantityOnHand"]]
            whole += total
            yield [f"TOTAL: {name}", "", "", total]
        yield ["TOTAL:", "", "", whole]

    return Table(["Sublocation", "Product ID", "Lot ID", "Units\nQoH"], rows())


def _orders(state: FinaleState, filters: dict[str, set[str]]) -> Table:
    """A row for each order, then one for each line with blanks in the columns of the order."""

    def rows() -> Iterator[list[Cell]]:
        for order in state.records("order"):
            if order["orderTypeId"] in filters.get("orderType", {order["orderTypeId"]}):
                date = formatted(order.get("orderDate"), "date")
                yield [order["orderId"], LABELS[order["statusId"]], date, "", "", "", order.get("orderItemListTotal")]
                for line in order["orderItemList"]:
                    quantity, price = line.get("quantity"), line.get("unitPrice")
                    amount = None if quantity is None or price is None else quantity * price
                    yield ["", "", "", line.get("productId"), quantity, price, amount]

    return Table(["Order ID", "Status", "Order date", "Product ID", "Quantity", "Unit price", "Amount"], rows())


def _parties(state: FinaleState, filters: dict[str, set[str]]) -> Table:
    header = ["Name", "Email address 0", "Phone number 0", "Address 0 street address", "Address 0 city"]
    header += ["Address 0 state / region", "Address 0 postal code", "Notes", "Supplier ID"]

    def rows() -> Iterator[list[Cell]]:
        for party in state.records("partygroup"):
            if not filters.get("partyRole") or filters["partyRole"] & set(party["roleTypeIdList"]):
                kinds = {one.get("contactMechTypeId"): one for one in party["contactMechList"]}
                address = kinds.get("POSTAL_ADDRESS", {})
                yield [
                    party["groupName"],
                    kinds.get("EMAIL_ADDRESS", {}).get("infoString"),
                    kinds.get("TELECOM_NUMBER", {}).get("infoString"),
                    *(address.get(name) for name in ("address1", "city", "stateProvinceGeoId", "postalCode")),
                    party.get("description"),
                    party["partyId"],
                ]

    return Table(header, rows())


_SETS: dict[str, Callable[[FinaleState, dict[str, set[str]]], Table]] = {
    "product": _products,
    "stock": _stock,
    "order": _orders,
    "party": _parties,
}
