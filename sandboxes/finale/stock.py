"""Rows of `inventoryitem`, worked out from what is on hand and from committed orders."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from sandboxes.finale.orders import LOCKED
from sandboxes.finale.shipments import moved, sublocation
from sandboxes.finale.store import Number, Record, Store


class Totals(NamedTuple):
    """One product's stock over all facilities."""

    on_hand: Number = 0
    on_order: Number = 0
    reserved: Number = 0


_QUANTITIES = ("quantityOnHand", "quantityOnOrder", "quantityReserved")


def stock_rows(store: Store) -> Iterator[Record]:
    """One row for each facility, lot, packing, order and product; exactly one of its quantities is not 0."""
    for key, quantity in store.on_hand.items():
        product = store.rows["product"].get(key.product_url)
        yield {
            "productId": None if product is None else product["productId"],
            "productUrl": key.product_url,
            "facilityUrl": key.facility_url,
            "orderUrl": None,
            "lotId": key.lot_id,
            "normalizedPackingString": key.packing,
            "quantityOnHand": quantity,
            "quantityOnOrder": 0,
            "quantityReserved": 0,
        }
    for order in store.rows["order"].values():
        if order["statusId"] == LOCKED:
            yield from _open_rows(store, order)


def _open_rows(store: Store, order: Record) -> Iterator[Record]:
    bought = order["orderTypeId"] == "PURCHASE_ORDER"
    wanted: dict[tuple[str, str | None], Number] = defaultdict(int)
    for line in order["orderItemList"]:
        if "productUrl" in line:
            wanted[line["productUrl"], line.get("normalizedPackingString")] += line.get("quantity", 0)
    done = moved(store, order)
    place = sublocation(store, order)
    for (url, packing), quantity in wanted.items():
        taken = min(done.get(url, 0), quantity)
        done[url] = done.get(url, 0) - taken
        if quantity > taken:
            yield {
                "productId": store.get("product", url)["productId"],
                "productUrl": url,
                "facilityUrl": place,
                "orderUrl": order["orderUrl"],
                "lotId": None,
                "normalizedPackingString": packing,
                "quantityOnHand": 0,
                "quantityOnOrder": quantity - taken if bought else 0,
                "quantityReserved": 0 if bought else quantity - taken,
            }


def as_text(row: Record) -> Record:
    """The row with its quantities as text, as some readers have met them."""
    return {**row, **{name: str(row[name]) for name in _QUANTITIES}}


def totals(store: Store) -> dict[str, Totals]:
    """The stock of each product address."""
    found: dict[str, Totals] = {}
    for row in stock_rows(store):
        old = found.get(row["productUrl"], Totals())
        found[row["productUrl"]] = Totals(*(number + row[name] for number, name in zip(old, _QUANTITIES, strict=True)))
    return found
