"""What a report has to show, as data: which column is which field. Pure. README.md has the table for people."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Column(NamedTuple):
    """One column by the names that Finale and people give it, compared without case; the first that is there counts."""

    field: str
    """The field of the REST API that it stands for."""
    names: tuple[str, ...]


ITEM: Final = Column("productId", ("product id", "sku", "item id"))
STOCK: Final[tuple[Column, ...]] = (
    Column(
        "quantityOnHand",
        (
            *("units in stock", "units qoh", "qoh", "quantity on hand", "qty on hand", "units on hand"),
            *("stock on hand", "on hand", "in stock"),
        ),
    ),
    Column("quantityOnOrder", ("units on order", "quantity on order", "qty on order", "on order")),
    Column("quantityReserved", ("units reserved", "quantity reserved", "qty reserved", "reserved")),
)
"""What of these a report does not show is summed from `inventoryitem`."""
SUPPLIER_ID: Final = Column("partyId", ("supplier id", "vendor id", "party id"))
SUPPLIER_NAME: Final = Column("groupName", ("name", "supplier", "supplier name", "vendor", "vendor name"))
ORDER: Final = Column(
    "orderId", ("order id", "order number", "purchase order", "purchase order id", "po number", "po #")
)
QUANTITY: Final = Column("quantity", ("quantity", "qty", "units ordered", "quantity ordered", "qty ordered"))
PRICE: Final = Column("unitPrice", ("unit price", "price", "unit cost", "cost per unit", "price per unit"))

SCREEN_NAMES: Final[Mapping[str, str]] = {
    "productId": "Product ID",
    "partyId": "Supplier ID",
    "groupName": "Name",
    "orderId": "Order ID",
    "quantity": "Quantity",
    "unitPrice": "Unit price",
}
"""What to add to a report that lacks it."""
