"""What open purchase orders still bring of each item: QuickBooks has no field for it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Any

from shared.contracts.messages import RawRecord
from shared.errors import DataError

_PRECISION = 200
"""Digits: sums of such numbers stay exact."""
Number = int | Decimal


class OnOrder:
    """Quantities by item id, summed over the orders it is fed."""

    def __init__(self) -> None:
        self._quantities: defaultdict[str, Number] = defaultdict(int)
        self._known: set[str] = set()

    def add(self, orders: Iterable[RawRecord]) -> None:
        """Take the lines of open orders, each order once. Raises DataError for a quantity that is no number."""
        with localcontext(prec=_PRECISION):
            for order in orders:
                known = str(order.get("Id"))
                if order.get("POStatus") == "Closed" or known in self._known:
                    continue
                self._known.add(known)
                for line in order.get("Line") or ():
                    self._add_line(order, line)

    def of(self, item_id: str) -> Number:
        """Zero when nothing is due."""
        return self._quantities.get(item_id, 0)

    def _add_line(self, order: RawRecord, line: Mapping[str, Any]) -> None:
        detail = line.get("ItemBasedExpenseLineDetail") or {}
        item = (detail.get("ItemRef") or {}).get("value")
        if item is None or "Qty" not in detail:
            return
        due = _number(order, "Qty", detail["Qty"]) - _number(order, "Received", line.get("Received", 0))
        if due > 0:  # more may arrive than was ordered
            self._quantities[item] += due


def _number(order: RawRecord, name: str, value: object) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise DataError(
            f"purchase order {order.get('Id')}: {name} of a line is not a number", hint="Correct it in QuickBooks."
        )
    return value
