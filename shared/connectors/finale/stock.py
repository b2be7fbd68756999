"""Stock by product, summed from `inventoryitem` (Finale documentation, inventory item)."""

from typing import NamedTuple

from shared.connectors.finale.account import Account
from shared.connectors.finale.numbers import Number, number
from shared.contracts.messages import RawRecord
from shared.errors import DataError

_QUANTITIES = ("quantityOnHand", "quantityOnOrder", "quantityReserved")


class Stock(NamedTuple):
    """Sums over facilities, lots and packings."""

    on_hand: Number = 0
    on_order: Number = 0
    reserved: Number = 0


async def stock_by_product(account: Account) -> dict[str, Stock]:
    """By product address; at most COLLECTION_CAP products. A product that is not in it has no stock: the collection
    was read to its end, or this raises."""
    found: dict[str, Stock] = {}
    async with account.collection("inventoryitem", "productUrl") as table:
        async for row in table.rows("productUrl", "orderUrl", *_QUANTITIES):
            product = row.get("productUrl")
            if not isinstance(product, str):
                raise DataError("inventoryitem: a row has no productUrl, so its stock belongs to no product")
            old, new = found.get(product, Stock()), _stock_of(row, product)
            found[product] = Stock(*(a + b for a, b in zip(old, new, strict=True)))
    return found


def _stock_of(row: RawRecord, product: str) -> Stock:
    """What one row adds. Exactly one of its quantities counts: with an order on order or reserved, else on hand.

    Raises DataError where the quantity that counts may be the one that is missing: absent is not 0.
    """
    on_hand, on_order, reserved = (number(row.get(name), f"inventoryitem: {name} of {product}") for name in _QUANTITIES)
    if row.get("orderUrl") is None:
        if on_hand is None and not on_order and not reserved:
            raise _missing(product, "quantityOnHand")
        return Stock(on_hand or 0, on_order or 0, reserved or 0)
    if not on_order and not reserved and (on_order is None or reserved is None):
        raise _missing(product, "quantityOnOrder" if on_order is None else "quantityReserved")
    return Stock(0, on_order or 0, reserved or 0)


def _missing(product: str, name: str) -> DataError:
    return DataError(
        f"inventoryitem: a row of {product} has no {name}, and nothing in its place",
        hint="Finale left out a quantity; taking it for 0 would be wrong, so nothing was changed. Sync again later.",
    )
