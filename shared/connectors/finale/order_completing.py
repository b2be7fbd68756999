"""An order made whole: its lines with what arrived of each, and its supplier's address."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from shared.connectors.finale.account import Account
from shared.connectors.finale.columns import ColumnTable
from shared.connectors.finale.numbers import Number, minus, number, plus, times
from shared.connectors.finale.orders_state import Receipts
from shared.contracts.messages import RawRecord
from shared.errors import DataError


class LinesLeftOutError(DataError):
    """An order came without its lines. Finale drops fields of all records at once, so it is hardly this order alone."""


class OrderCompleter:
    """Completes the orders of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._party_root = f"{account.root}partygroup/"

    async def unusual_parties(self) -> dict[str, str]:
        """An order names its supplier's id alone. The address is looked up, and not made of the id: only those that
        differ from what the id would give are carried along."""
        unusual: dict[str, str] = {}
        async with self._account.collection("partygroup", "partyGroupUrl", "partyId") as table:
            async for row in table.rows("partyId", "partyGroupUrl"):
                party, url = row.get("partyId"), row.get("partyGroupUrl")
                if isinstance(party, str) and isinstance(url, str) and url != self._usual(party):
                    unusual[party] = url
        return unusual

    def _usual(self, party: str) -> str:
        return self._party_root + quote(party, safe="")

    def complete(self, order: RawRecord, receipts: Receipts, parties: Mapping[str, str]) -> RawRecord:
        """The order with vendorUrl, receiptState, lastReceiptDate, and each line's quantityReceived and lineTotal.

        Raises LinesLeftOutError, and DataError for what is wrong with this order alone.
        """
        url = order["orderUrl"]
        total = number(order.get("orderItemListTotal"), f"orderItemListTotal of {url}")
        if "orderItemList" not in order and total:
            raise LinesLeftOutError(
                f"{url} has a total and no orderItemList", hint="Finale left out the lines; sync again later."
            )
        lines, state = _received(objects(order.get("orderItemList"), url), receipts, url)
        found: RawRecord = {**order, "orderItemList": lines, "receiptState": state}
        if receipts.last is not None:
            found["lastReceiptDate"] = receipts.last
        for role in objects(order.get("orderRoleList"), url):
            party = role.get("partyId")
            if role.get("roleTypeId") == "SUPPLIER" and isinstance(party, str) and party:
                found["vendorUrl"] = parties.get(party) or self._usual(party)
                break
        return found


async def receipts_of(shipments: ColumnTable, chosen: set[str] | None = None) -> dict[str, Receipts]:
    """What has arrived for each of these orders (None: all): SHIPMENT_DELIVERED is a receipt; the order's own
    receiveDate is unreliable."""
    sums: dict[str, dict[str, Number]] = {}
    last: dict[str, str] = {}
    async for row in shipments.rows(
        "primaryOrderUrl", "statusId", "shipmentTypeId", "shipmentItemList", "receiveDate", "shipmentUrl"
    ):
        url = row.get("primaryOrderUrl")
        if not isinstance(url, str) or (chosen is not None and url not in chosen):
            continue
        if row.get("statusId") != "SHIPMENT_DELIVERED" or not is_purchase(row):
            continue
        quantities = sums.setdefault(url, {})
        place = str(row.get("shipmentUrl"))
        for item in objects(row.get("shipmentItemList"), place):
            product = item.get("productUrl")
            if isinstance(product, str):
                quantity = number(item.get("quantity"), f"quantity in {place}") or 0
                quantities[product] = plus(quantities.get(product, 0), quantity)
        if isinstance(row.get("receiveDate"), str):
            last[url] = max(last.get(url, ""), row["receiveDate"])
    return {
        url: Receipts({product: str(quantity) for product, quantity in quantities.items()}, last.get(url))
        for url, quantities in sums.items()
    }


def is_purchase(shipment: RawRecord) -> bool:
    return shipment.get("shipmentTypeId") in (None, "PURCHASE_SHIPMENT")


def _received(lines: Iterable[RawRecord], receipts: Receipts, url: str) -> tuple[list[RawRecord], str]:
    """The lines with what arrived of each, and `none`, `some` or `all` of the order.

    Shipments know products, not lines: lines of one product are filled one after the other, and what is left over
    belongs to the last of them.
    """
    left: dict[str, Number] = {product: Decimal(text) for product, text in receipts.quantities.items()}
    found = [dict(line) for line in lines]
    last = {line["productUrl"]: at for at, line in enumerate(found) if line.get("productUrl") is not None}
    some, everything = any(left.values()), True
    for at, line in enumerate(found):
        quantity = number(line.get("quantity"), f"quantity of a line of {url}")
        price = number(line.get("unitPrice"), f"unitPrice of a line of {url}")
        if quantity is not None and price is not None:
            line["lineTotal"] = times(quantity, price)
        product = line.get("productUrl")
        if product is None:
            everything = everything and not quantity
            continue
        available = left.get(product, 0)
        taken = available if last[product] == at else min(available, max(quantity or 0, 0))
        left[product] = minus(available, taken)
        line["quantityReceived"] = taken
        everything = everything and taken >= (quantity or 0)
    return found, "none" if not some else "all" if everything else "some"


def objects(value: Any, place: str) -> list[RawRecord]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(f"{place}: a list of objects was due")
    return value
