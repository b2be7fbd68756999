"""The Northwind files as a typed shop: 77 products, 29 suppliers, and purchase orders derived from them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any, Literal

from sandboxes.data.documents import Entity, EntityShape, Shop, day, entity, rfc3339

PRODUCT = EntityShape("productID", "updatedAt", "unitsInStock", numeric_key=True)
SUPPLIER = EntityShape("supplierID", "updatedAt", "contactTitle", numeric_key=True)
ORDER = EntityShape("orderID", "updatedAt", "notes", numeric_key=True)
STATUSES = ("DRAFT", "SENT", "PART_RECEIVED", "RECEIVED", "CANCELLED")

_START = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)
_SEPARATOR = re.compile(
    r",(?! )"
)  # the files quote nothing: a comma before a space belongs to the value ("Pavlova, Ltd.")
_Record = dict[str, Any]


def csv_bytes(name: Literal["products", "suppliers"]) -> bytes:
    """The file as it came."""
    return files("sandboxes.data.northwind").joinpath(f"{name}.csv").read_bytes()


def rows(name: Literal["products", "suppliers"]) -> list[dict[str, str]]:
    """The file's rows, all values as text; `NULL` is a word there."""
    header, *lines = (_SEPARATOR.split(line) for line in csv_bytes(name).decode().splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def load() -> Shop:
    """The shop. Reads the two files."""
    suppliers = [_supplier(row) for row in rows("suppliers")]
    names = {supplier["supplierID"]: supplier["companyName"] for supplier in suppliers}
    products = [_product(row, names) for row in rows("products")]
    return {
        "products": entity(PRODUCT, products),
        "suppliers": entity(SUPPLIER, suppliers),
        "orders": _orders(products),
    }


def _changed(number: int) -> str:
    return rfc3339(_START + timedelta(minutes=97 * number))


def _supplier(row: dict[str, str]) -> _Record:
    number = int(row["supplierID"])
    texts = {name: None if value == "NULL" else value for name, value in row.items()}
    return {**texts, "supplierID": number, "updatedAt": _changed(number)}


def _product(row: dict[str, str], supplier_names: dict[int, str]) -> _Record:
    number, supplier = int(row["productID"]), int(row["supplierID"])
    return {
        "productID": number,
        "productName": row["productName"],
        "supplier": {"id": supplier, "name": supplier_names[supplier]},
        "categoryID": int(row["categoryID"]),
        "quantityPerUnit": row["quantityPerUnit"],
        "unitPrice": Decimal(row["unitPrice"]),
        "unitsInStock": int(row["unitsInStock"]),
        "unitsOnOrder": int(row["unitsOnOrder"]),
        "reorderLevel": int(row["reorderLevel"]),
        "discontinued": row["discontinued"] == "1",
        "updatedAt": _changed(number),
    }


def _orders(products: list[_Record]) -> Entity:
    by_supplier: dict[int, list[_Record]] = {}
    for product in products:
        by_supplier.setdefault(product["supplier"]["id"], []).append(product)
    orders: list[_Record] = []
    for supplier, theirs in sorted(by_supplier.items()):
        # the first order takes all that the supplier sells, the second one product only
        for chosen in (theirs, theirs[:1]):
            orders.append(_order(5001 + len(orders), theirs[0]["supplier"], chosen, STATUSES[supplier % len(STATUSES)]))
    return entity(ORDER, orders)


def _order(number: int, supplier: _Record, products: list[_Record], status: str) -> _Record:
    lines = [_line(position, product, number, status) for position, product in enumerate(products, start=1)]
    subtotal = sum((line["lineTotal"] for line in lines), Decimal("0.00"))
    tax = (subtotal / 5).quantize(Decimal("0.01"))
    shipping = Decimal("12.50")
    ordered = number % 90
    return {
        "orderID": number,
        "orderNumber": f"PO-{number:05d}",
        "supplier": supplier,
        "status": status,
        "currency": "GBP",
        "orderDate": day(_START, ordered),
        "expectedDate": day(_START, ordered + 14),
        "receivedDate": day(_START, ordered + 13) if status == "RECEIVED" else None,
        "lines": lines,
        "subtotal": subtotal,
        "tax": tax,
        "shipping": shipping,
        "total": subtotal + tax + shipping,
        "notes": None if number % 3 else "Deliver to “Quai Nº 2”, ring twice",
        "updatedAt": _changed(number - 5000),
    }


def _line(position: int, product: _Record, order: int, status: str) -> _Record:
    quantity = 5 + (product["productID"] * order) % 40
    received = {"RECEIVED": quantity, "PART_RECEIVED": quantity // 2}.get(status, 0)
    return {
        "lineNumber": position,
        "productID": product["productID"],
        "description": product["productName"],
        "quantity": quantity,
        "quantityReceived": received,
        "unitCost": product["unitPrice"],
        "lineTotal": product["unitPrice"] * quantity,
    }
