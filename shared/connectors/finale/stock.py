"""Stock by product, summed from `inventoryitem` (Finale documentation, inventory item), and where it lies."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.connectors.finale.account import Account
from shared.connectors.finale.numbers import Number, formatted_number, plus, summed
from shared.connectors.finale.places import Places, read_places
from shared.contracts.messages import RawRecord
from shared.errors import DataError

STOCK_CALLS = 2
"""inventoryitem, facility."""
_QUANTITIES = ("quantityOnHand", "quantityOnOrder", "quantityReserved")


@dataclass(slots=True)
class _Sums:
    """Of one product, over lots and packings."""

    on_order: Number = 0
    reserved: Number = 0
    on_hand: dict[str, Number] = field(default_factory=dict)
    """By the facility's address; "" of rows that name none."""


class Stock:
    """What every product of an account has in stock; at most COLLECTION_CAP products."""

    def __init__(self, by_product: Mapping[str, _Sums], places: Places | None) -> None:
        self._by_product = by_product
        self._places = places

    def fields(self, product: str) -> RawRecord:
        """The raw fields that tell of the stock of this product address. A product that no row names has none: the
        collection was read to its end."""
        sums = self._by_product.get(product) or _Sums()
        quantities = (summed(sums.on_hand.values()), sums.on_order, sums.reserved)
        found: RawRecord = dict(zip(_QUANTITIES, quantities, strict=True))
        return found if self._places is None else found | self._places.fields(sums.on_hand)


async def read_stock(account: Account) -> Stock:
    """The stock of all products. Raises what the client raises, DataError for a row that tells too little."""
    found: dict[str, _Sums] = {}
    met: dict[str, str] = {}
    async with account.collection("inventoryitem", "productUrl") as table:
        async for row in table.rows("productUrl", "orderUrl", "facilityUrl", "parentFacilityUrl", *_QUANTITIES):
            product = row.get("productUrl")
            if not isinstance(product, str):
                raise DataError("inventoryitem: a row has no productUrl, so its stock belongs to no product")
            sums = found.get(product)
            if sums is None:
                sums = found[product] = _Sums()
            on_hand, on_order, reserved = _told_by(row, product)
            sums.on_order = plus(sums.on_order, on_order)
            sums.reserved = plus(sums.reserved, reserved)
            if on_hand:
                facility = _facility_of(row, met)
                sums.on_hand[facility] = plus(sums.on_hand.get(facility, 0), on_hand)
    # Facilities after the stock: one that was made meanwhile is known by then.
    return Stock(found, await read_places(account, met))


def _facility_of(row: RawRecord, met: dict[str, str]) -> str:
    """The address of the row's facility, which is noted with that of its location; "" where the row names none."""
    facility, parent = row.get("facilityUrl"), row.get("parentFacilityUrl")
    if not isinstance(facility, str) or not facility:
        return ""
    facility = sys.intern(facility)  # one text for all the products that lie there
    met[facility] = parent if isinstance(parent, str) else met.get(facility, "")
    return facility


def _told_by(row: RawRecord, product: str) -> tuple[Number, Number, Number]:
    """What one row adds: on hand, on order, reserved. Exactly one of them counts: with an order one of the latter two.

    Raises DataError where the quantity that counts may be the one that is missing: absent is not 0.
    """
    on_hand, on_order, reserved = (
        formatted_number(row.get(name), f"inventoryitem: {name} of {product}") for name in _QUANTITIES
    )
    if row.get("orderUrl") is None:
        if on_hand is None and not on_order and not reserved:
            raise _missing(product, "quantityOnHand")
        return (on_hand or 0, on_order or 0, reserved or 0)
    if not on_order and not reserved and (on_order is None or reserved is None):
        raise _missing(product, "quantityOnOrder" if on_order is None else "quantityReserved")
    return (0, on_order or 0, reserved or 0)


def _missing(product: str, name: str) -> DataError:
    return DataError(
        f"inventoryitem: a row of {product} has no {name}, and nothing in its place",
        hint="Finale left out a quantity; taking it for 0 would be wrong, so nothing was changed. Sync again later.",
    )
