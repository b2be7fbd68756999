"""The records that every contender syncs: the same for any run, so that a target can be checked value by value.

Generation 2 differs from generation 1 in exactly one record of a hundred (quantity, cost and change time).
"""

import hashlib
from collections.abc import Iterator
from typing import Any

RENAMED = {
    "partNumber": "sku",
    "title": "name",
    "onHand": "quantity",
    "supplierRef": "supplier",
    "costPrice": "unit_cost",
    "modifiedAt": "updated_at",
}
"""The mapping that everybody does: 6 of the 16 fields."""
CHANGED_AT = "2026-11-03T07:15:00Z"

_MATERIALS = ("steel", "brass", "nylon", "copper", "Edelstahl für außen", "rubber", "aluminium")
_THINGS = ("hinge", "flange", "bushing", 'pipe 3/4"', "washer", "clamp", "spindle", "o-ring", "switch")
_SITES = ("north", "south", "harbour", "yard")


def is_changed(number: int) -> bool:
    """Whether generation 2 changes this record."""
    return number % 100 == 41


def record(number: int, generation: int) -> dict[str, Any]:
    """One record as the source sends it. Costs are whole cents, so floats and decimals agree on them."""
    dice = number * 2_654_435_761 % 4_294_967_291  # spreads neighbours; the moduli below are coprime
    changed = generation == 2 and is_changed(number)
    cents = dice % 250_007 + (150 if changed else 0)
    month, day, hour = dice % 10 + 1, dice // 10 % 28 + 1, dice // 280 % 24
    return {
        "partNumber": f"P{number:09d}",
        "title": f"{_MATERIALS[dice % 7]} {_THINGS[dice // 7 % 9]}, size {dice // 63 % 900}",
        "onHand": dice // 11 % 4_001 + (5 if changed else 0),
        "supplierRef": f"S-{dice // 13 % 3_000:04d}",
        "costPrice": cents / 100,
        "modifiedAt": CHANGED_AT if changed else f"2026-{month:02d}-{day:02d}T{hour:02d}:30:00Z",
        "createdAt": f"2024-{day % 12 + 1:02d}-{month:02d}T08:00:00Z",
        "group": f"group {dice // 17 % 40}",
        "currency": "EUR",
        "ean": str(4_000_000_000_000 + dice),
        "site": _SITES[dice // 19 % 4],
        "shelf": f"{dice // 23 % 60:02d}-{dice // 29 % 40:02d}",
        "grams": dice // 31 % 90_000 / 10,
        "minimum": dice // 37 % 300,
        "blocked": dice % 25 == 0,
        "remark": "ask before ordering more than 100" if dice % 3 == 0 else None,
    }


def digest(rows: int, generation: int) -> str:
    """What `check.sql` must find in a target."""
    return hashlib.md5("\n".join(_lines(rows, generation)).encode(), usedforsecurity=False).hexdigest()


def _lines(rows: int, generation: int) -> Iterator[str]:
    for number in range(rows):
        found = record(number, generation)
        cells = [found[name] for name in RENAMED]
        cells[4] = f"{cells[4]:.2f}"
        yield "|".join(map(str, cells))
