"""A shop of any number of products, the same for the same seed on every machine."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from sandboxes.data.documents import EntityShape, Shop, day, entity

PRODUCT = EntityShape("productCode", "lastUpdatedDate", "qtyOnHand", numeric_key=False)
SUPPLIER = EntityShape("supplierCode", "lastUpdatedDate", "leadTimeDays", numeric_key=False)
ORDER = EntityShape("orderNumber", "lastUpdatedDate", "notes", numeric_key=False)

_FINISHES = ("Stainless", "Galvanisé", "Überlang", "Low-friction", "Señal", "耐熱", "Anodised", "Łącznik")
_PARTS = ("bracket", "valve", "bearing", "coupling", "sensor", "gasket", "relay", "bolt M8x40", 'pump 1½"', "filter")
_FAMILIES = ("Fixings", "Bearings", "Hydraulics", "Electrics", "Safety", "Tools", "Packaging", "Adhesives")
_TOWNS = ("Århus", "Nîmes", "Kraków", "Leeds", "Gdańsk", "Málaga", "Zürich", "Ōsaka")
_STATUSES = ("DRAFT", "SENT", "PART_RECEIVED", "RECEIVED", "CANCELLED")
_START = datetime(2025, 1, 6, tzinfo=UTC)
_Record = dict[str, Any]


class _Draws:
    """Numbers drawn from one record's own hash, so a record does not depend on how many others there are."""

    def __init__(self, seed: int, kind: str, number: int) -> None:
        key = f"{seed}:{kind}".encode()
        self._left = int.from_bytes(blake2b(number.to_bytes(8, "big"), key=key, digest_size=32).digest(), "big")

    def below(self, bound: int) -> int:
        self._left, drawn = divmod(self._left, bound)
        return drawn

    def one_of(self, words: tuple[str, ...]) -> str:
        return words[self.below(len(words))]

    def cents(self, bound: int) -> Decimal:
        return Decimal(self.below(bound)).scaleb(-2)

    def moment(self) -> str:
        month, date, hour, minute = self.below(12) + 1, self.below(28) + 1, self.below(24), self.below(60)
        return f"2025-{month:02d}-{date:02d}T{hour:02d}:{minute:02d}:00.000Z"


def load(products: int, seed: int = 1) -> Shop:
    """The shop: `products` products, a twentieth as many suppliers (at most 5000) and orders."""
    others = max(1, products // 20)
    return {
        "products": entity(PRODUCT, generate_products(products, seed)),
        "suppliers": entity(SUPPLIER, (_supplier(number, seed) for number in range(_suppliers(products)))),
        "orders": entity(ORDER, (_order(number, products, seed) for number in range(others if products else 0))),
    }


def generate_products(count: int, seed: int = 1) -> Iterator[_Record]:
    """The products alone: 16 fields, about 430 bytes of JSON each."""
    return (_product(number, count, seed) for number in range(count))


def _suppliers(products: int) -> int:
    return min(5000, max(1, products // 20))


def _product(number: int, products: int, seed: int) -> _Record:
    draw = _Draws(seed, "product", number)
    finish, part, family = draw.one_of(_FINISHES), draw.one_of(_PARTS), draw.one_of(_FAMILIES)
    return {
        "productCode": f"SKU-{number:08d}",
        "description": f'{finish} {part} no. {draw.below(1000)}, "series {draw.below(100)}"',
        "qtyOnHand": draw.below(5000),
        "reorderLevel": draw.below(200),
        "defaultSupplierId": f"SUP-{draw.below(_suppliers(products)):05d}",
        "unitCost": draw.cents(1_000_000),
        "currency": "GBP",
        "category": family,
        "warehouse": f"WH{draw.below(12):02d}",
        "binLocation": f"{'ABCDEFGHJKLMNPQRSTUVWXYZ'[draw.below(24)]}-{draw.below(100):02d}-{draw.below(20):02d}",
        "barcode": f"{5_000_000_000_000 + draw.below(10**12)}",
        "weightKg": Decimal(draw.below(50_000)).scaleb(-3),
        "isActive": draw.below(20) != 0,
        "createdDate": f"202{draw.below(5)}-{draw.below(12) + 1:02d}-{draw.below(28) + 1:02d}T09:30:00.000Z",
        "lastUpdatedDate": draw.moment(),
        "notes": None if draw.below(3) else "Ask for the lead time before ordering",
    }


def _supplier(number: int, seed: int) -> _Record:
    draw = _Draws(seed, "supplier", number)
    town = draw.one_of(_TOWNS)
    return {
        "supplierCode": f"SUP-{number:05d}",
        "supplierName": f"{town} & Søns {number}, Ltd.",
        "contact": f'Zoë "Z" O\'Brien-{number}',
        "email": f"orders{number}@supplier.example",
        "phone": f"+44 20 7946 {draw.below(10_000):04d}",
        "address": f"{draw.below(300) + 1} Straße des Handels, {town}",
        "leadTimeDays": draw.below(60) + 1,
        "currency": "GBP",
        "lastUpdatedDate": draw.moment(),
    }


def _order(number: int, products: int, seed: int) -> _Record:
    draw = _Draws(seed, "order", number)
    status, ordered = draw.one_of(_STATUSES), draw.below(300)
    lines: list[_Record] = []
    for position in range(1, draw.below(5) + 2):
        quantity, cost = draw.below(500) + 1, draw.cents(100_000)
        lines.append(
            {
                "lineNumber": position,
                "productCode": f"SKU-{draw.below(products):08d}",
                "quantity": quantity,
                "quantityReceived": {"RECEIVED": quantity, "PART_RECEIVED": quantity // 2}.get(status, 0),
                "unitCost": cost,
                "lineTotal": cost * quantity,
            }
        )
    return {
        "orderNumber": f"PO-{number:07d}",
        "supplierCode": f"SUP-{draw.below(_suppliers(products)):05d}",
        "status": status,
        "currency": "GBP",
        "orderDate": day(_START, ordered),
        "expectedDate": day(_START, ordered + 21),
        "lines": lines,
        "total": sum((line["lineTotal"] for line in lines), Decimal("0.00")),
        "notes": None,
        "lastUpdatedDate": draw.moment(),
    }
