"""Purchase orders by GraphQL, for accounts whose collections are beyond what REST shows: page after page, with lines.

It tells less than REST (README.md has the list), so it is read only where REST cannot tell all. Its values are texts
formatted for people, unless they are asked for raw; both are read, and exactly (Finale documentation, GraphQL).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.protocol import BadRecord, Page
from shared.connectors.finale.account import ERROR_KEYS, Account
from shared.connectors.finale.numbers import Number, formatted_number, is_blank, minus, plus
from shared.connectors.finale.order_completing import OrderCompleter
from shared.connectors.finale.orders_state import OrdersState, Receipts
from shared.contracts.messages import RawRecord, encode_json
from shared.errors import DataError, UnusableBodyError

ORDERS_PER_PAGE = 50
LINES_PER_ORDER = 1_000
"""Without a number lines are lost; an order with more is quarantined."""
_RAW = '(formatter: "none")'
# By orderId, which never changes: an order that is new moves others to later pages, where they are met twice, and none
# is passed over, since none vanishes. Lines and shipments are read with their order.
_QUERY = f"""query ($after: String) {{
  orderViewConnection(
    type: ["PURCHASE_ORDER"], sort: [{{field: "orderId"}}], first: {ORDERS_PER_PAGE}, after: $after
  ) {{
    edges {{ node {{
      orderId orderUrl status{_RAW} orderDate{_RAW} receiveDate{_RAW} subtotal{_RAW} total{_RAW} publicNotes
      recordLastUpdated{_RAW}
      supplier {{ partyUrl }}
      itemList(first: {LINES_PER_ORDER}) {{
        edges {{ node {{
          quantity{_RAW} productUnitsReceived{_RAW} unitPrice{_RAW} product {{ productId productUrl }}
        }} }}
        pageInfo {{ hasNextPage }}
      }}
      shipmentList {{ status{_RAW} receiveDate{_RAW} }}
    }} }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""
_STATUSES: Mapping[str, str] = {
    "Draft": "ORDER_CREATED",
    "Editable": "ORDER_CREATED",
    "Committed": "ORDER_LOCKED",
    "Locked": "ORDER_LOCKED",
    "Completed": "ORDER_COMPLETED",
    "Canceled": "ORDER_CANCELLED",
    "Cancelled": "ORDER_CANCELLED",
}
_CANCELLED = frozenset({"SHIPMENT_CANCELLED", "SHIPMENT_CANCELED", "Canceled", "Cancelled"})
_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%m/%d/%Y", "%m/%d/%Y %I:%M %p")
_FRACTION = re.compile(r"\.\d+")


class OrderView:
    """Reads the pages of one account's purchase orders by GraphQL."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._completer = OrderCompleter(account)

    async def read(self, after: str) -> Page:
        """The orders behind a cursor; empty: the first ones."""
        body = await self._account.query({"query": _QUERY, "variables": {"after": after or None}})
        view = _view(parse_json(body))
        records: list[RawRecord] = []
        rejects: list[BadRecord] = []
        for node in _nodes(view, "orderViewConnection"):
            url = node.get("orderUrl")
            if not isinstance(url, str) or not url.startswith(self._account.root):
                raise DataError("GraphQL: an order has no orderUrl of this account")
            try:
                records.append(self._order(node, url))
            except DataError as error:
                rejects.append(BadRecord(encode_json(node).decode(), error.message, url))
        then = _next_cursor(view, after)
        state = OrdersState(view=then)
        return Page(records, state.cursor(), len(encode_json(records)), rejects=tuple(rejects))

    def _order(self, node: RawRecord, url: str) -> RawRecord:
        """With the fields that REST has."""
        lines, receipts = _lines(node, url)
        status = str(node.get("status"))
        subtotal, total = (formatted_number(node.get(name), f"{name} of {url}") for name in ("subtotal", "total"))
        order: RawRecord = {
            "orderId": node.get("orderId"),
            "orderUrl": url,
            "orderTypeId": "PURCHASE_ORDER",
            "statusId": _STATUSES.get(status, status),
            "orderDate": _moment(node.get("orderDate"), f"orderDate of {url}"),
            "receiveDate": _moment(node.get("receiveDate"), f"receiveDate of {url}"),
            "lastUpdatedDate": _moment(node.get("recordLastUpdated"), f"recordLastUpdated of {url}"),
            "publicNotes": None if is_blank(node.get("publicNotes")) else node.get("publicNotes"),
            "orderItemList": lines,
            "orderItemListTotal": subtotal,
            # not told apart here: freight, tax and discounts
            "orderAdjustmentList": None if total is None or subtotal is None else [{"amount": minus(total, subtotal)}],
            "vendorUrl": _text(_object(node.get("supplier")).get("partyUrl")),
        }
        told = {name: value for name, value in order.items() if value is not None}
        return self._completer.complete(told, receipts, {})


def _view(answer: Any) -> RawRecord:
    """Raises UnusableBodyError where errors came within 200, whatever came beside them."""
    found = answer if isinstance(answer, dict) else {}
    view = _object(found.get("data")).get("orderViewConnection")
    if any(found.get(name) for name in ERROR_KEYS) or not isinstance(view, dict):
        raise UnusableBodyError(
            "Finale's GraphQL tells of an error where orders were due (status 200)",
            hint="Sync again later; if it stays, ask Finale what is wrong with this account's GraphQL API.",
        )
    return view


def _next_cursor(view: RawRecord, after: str) -> str | None:
    """Raises DataError for pages that would never end."""
    info = _object(view.get("pageInfo"))
    if not info.get("hasNextPage"):
        return None
    cursor = info.get("endCursor")
    if not isinstance(cursor, str) or not cursor or cursor == after or not view.get("edges"):
        raise DataError("GraphQL: the page of orders says that more follow, and does not lead on to them")
    return cursor


def _nodes(connection: RawRecord, what: str) -> list[RawRecord]:
    edges = connection.get("edges")
    nodes = [edge.get("node") for edge in edges if isinstance(edge, dict)] if isinstance(edges, list) else [None]
    if not all(isinstance(node, dict) for node in nodes):
        raise UnusableBodyError(f"GraphQL: {what} came without its rows")
    return [node for node in nodes if isinstance(node, dict)]


def _lines(node: RawRecord, url: str) -> tuple[list[RawRecord], Receipts]:
    items = _object(node.get("itemList"))
    if _object(items.get("pageInfo")).get("hasNextPage"):
        raise DataError(f"{url} has more than {LINES_PER_ORDER:,} lines, and GraphQL gives no more")
    lines: list[RawRecord] = []
    received: dict[str, Number] = {}
    for item in _nodes(items, f"itemList of {url}"):
        line: RawRecord = {}
        for name in ("quantity", "unitPrice"):
            value = formatted_number(item.get(name), f"{name} of a line of {url}")
            if value is not None:
                line[name] = value
        product = _object(item.get("product"))
        product_url = _text(product.get("productUrl"))
        if product_url is not None:
            line |= {"productUrl": product_url, "productId": product.get("productId")}
            arrived = formatted_number(item.get("productUnitsReceived"), f"productUnitsReceived of a line of {url}")
            received[product_url] = plus(received.get(product_url, 0), arrived or 0)
        lines.append(line)
    return lines, Receipts({key: str(value) for key, value in received.items() if value}, _last_receipt(node, url))


def _last_receipt(node: RawRecord, url: str) -> str | None:
    """What has a date of receipt has arrived; the order's own date is unreliable."""
    shipments = node.get("shipmentList")
    dates = [
        _moment(one.get("receiveDate"), f"receiveDate of a shipment of {url}")
        for one in (shipments if isinstance(shipments, list) else [])
        if isinstance(one, dict) and one.get("status") not in _CANCELLED
    ]
    return max((date for date in dates if date is not None), default=None)


def _moment(value: Any, what: str) -> str | None:
    """As REST writes times, of `2026-06-17T14:05:00`, `6/17/2026` or `6/17/2026 2:05 PM`."""
    if is_blank(value):
        return None
    text = _FRACTION.sub("", str(value).strip())
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).isoformat()  # noqa: DTZ007 - of the account's zone, as REST's
        except ValueError:
            continue
    raise DataError(f"{what} is no date: {text[:40]!r}")


def _object(value: Any) -> RawRecord:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and not is_blank(value) else None
