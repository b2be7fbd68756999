"""A made company of any size, the same for the same seed: what a reader may meet, oddities included."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sandboxes.quickbooks.company import Company, Record

_START = datetime(2025, 3, 3, 16, tzinfo=UTC)
_DAYS = 300
_FINISHES = ("Stainless", "Galvanisé", "Überlang", "Low-friction", "Señal", "耐熱", "Anodised", "Łącznik")
_PARTS = ("bracket", "valve", "bearing", "coupling", "sensor", "gasket", "relay", "bolt M8x40", 'pump 1½"', "O'ring")
_TOWNS = ("Århus", "Nîmes", "Kraków", "Leeds", "Gdańsk", "Málaga", "Zürich", "Ōsaka")
_ACCOUNTS = (
    ("Sales of Product Income", "Income"),
    ("Cost of Goods Sold", "Cost of Goods Sold"),
    ("Inventory Asset", "Other Current Asset"),
    ("Accounts Payable (A/P)", "Accounts Payable"),
    ("Freight & Delivery", "Expense"),
)
_INCOME, _COGS, _ASSET, _PAYABLE, _FREIGHT = (str(number) for number in range(1, 6))
_TERMS = (("Due on receipt", 0), ("Net 15", 15), ("Net 30", 30))


class Size(NamedTuple):
    """How much a made company has."""

    items: int = 40
    vendors: int = 8
    orders: int = 25


def fill(company: Company, size: Size, seed: int = 1) -> None:
    """Put the records of the company in place of none."""
    for name, kind in _ACCOUNTS:
        data = {"Name": name, "FullyQualifiedName": name, "AccountType": kind, "Active": True}
        company.put("Account", data, _START)
    for name, days in _TERMS:
        company.put("Term", {"Name": name, "DueDays": days, "Active": True}, _START)
    company.put("Customer", {"DisplayName": "Cool Cars", "FullyQualifiedName": "Cool Cars", "Active": True}, _START)
    company.put("Employee", {"DisplayName": "Storekeeper", "GivenName": "Store", "Active": True}, _START)
    makers: tuple[tuple[Any, int, Callable[[int, Size, random.Random], Record]], ...] = (
        ("Vendor", size.vendors, _vendor),
        ("Item", size.items, _item),
        ("PurchaseOrder", size.orders, _order),
    )
    for entity, count, make in makers:
        for number in range(1, count + 1):
            draw = random.Random(f"{seed}/{entity}/{number}")
            moment = _START + timedelta(days=draw.randrange(_DAYS), seconds=draw.randrange(36_000))
            company.put(entity, make(number, size, draw), moment)


def _vendor(number: int, _size: Size, draw: random.Random) -> Record:
    town = draw.choice(_TOWNS)
    name = f"{town} & Søns {number}"
    address = {"Id": str(1000 + number), "Line1": f"{draw.randrange(1, 300)} Straße", "City": town, "Country": "DEU"}
    data: Record = {
        "DisplayName": name,
        "CompanyName": f"{name}, Ltd.",
        "PrintOnCheckName": name,
        "PrimaryEmailAddr": {"Address": f"orders{number}@supplier.example"},
        "PrimaryPhone": {"FreeFormNumber": f"+44 20 7946 {draw.randrange(10_000):04d}"},
        "BillAddr": address,
        "TermRef": {"value": str(draw.randrange(1, len(_TERMS) + 1))},
        "CurrencyRef": {"value": "USD", "name": "United States Dollar"},
        "AcctNum": f"A-{number:05d}",
        "Vendor1099": False,
        "Balance": _cents(draw, 1_000_000),
        "Active": number % 20 != 0,
    }
    return {name: value for name, value in data.items() if draw.random() > 0.05 or name in ("DisplayName", "Active")}


def _item(number: int, size: Size, draw: random.Random) -> Record:
    kind = "Inventory" if number % 10 < 7 or number == 1 else ("NonInventory", "Service", "Category")[number % 3]
    name = f"{draw.choice(_FINISHES)} {draw.choice(_PARTS)} {number}"
    data: Record = {
        "Name": name,
        "FullyQualifiedName": name,
        "Type": kind,
        "Active": number % 25 != 0,
        "Description": f'{name}, "series {draw.randrange(100)}"',
    }
    if kind == "Category":
        return data
    data |= {
        "Taxable": True,
        "UnitPrice": _cents(draw, 1_000_000),
        "PurchaseCost": _cents(draw, 500_000),
        "PurchaseDesc": name,
        "IncomeAccountRef": {"value": _INCOME},
        "ExpenseAccountRef": {"value": _COGS},
        "TrackQtyOnHand": kind == "Inventory",
    }
    if draw.random() > 0.1:
        data["Sku"] = f"SKU-{number:06d}"
    if size.vendors and draw.random() > 0.3:
        data["PrefVendorRef"] = {"value": str(draw.randrange(1, size.vendors + 1))}
    if kind == "Inventory":
        quantity = Decimal(draw.randrange(-20_000, 5_000_000)).scaleb(-3)
        data |= {
            "QtyOnHand": int(quantity) if draw.random() > 0.2 else quantity,
            "InvStartDate": "2025-01-01",
            "ReorderPoint": draw.randrange(500),
            "AssetAccountRef": {"value": _ASSET},
        }
    return data


def _order(number: int, size: Size, draw: random.Random) -> Record:
    ordered = _START + timedelta(days=draw.randrange(_DAYS))
    closed = draw.random() < 0.4
    lines = [_line(position, size, draw, closed=closed) for position in range(1, draw.randrange(1, 6) + 1)]
    if not size.vendors:
        raise ValueError("orders need vendors")
    data: Record = {
        "TxnDate": ordered.date().isoformat(),
        "DueDate": (ordered + timedelta(days=21)).date().isoformat(),
        "POStatus": "Closed" if closed else "Open",
        "VendorRef": {"value": str(draw.randrange(1, size.vendors + 1))},
        "APAccountRef": {"value": _PAYABLE},
        "CurrencyRef": {"value": "USD", "name": "United States Dollar"},
        "EmailStatus": "NotSet",
        "LinkedTxn": [{"TxnId": str(9000 + number), "TxnType": "Bill"}] if closed else [],
        "CustomField": [{"DefinitionId": "1", "Name": "Crew #", "Type": "StringType"}],
        "Line": lines,
        "TotalAmt": sum((line["Amount"] for line in lines), Decimal("0.00")),
    }
    if number % 15:
        data["DocNumber"] = str(1000 + number)
    if draw.random() < 0.3:
        data["PrivateNote"] = "Ask for the lead time"
    return data


def _line(position: int, size: Size, draw: random.Random, *, closed: bool) -> Record:
    amount = _cents(draw, 20_000)
    line: Record = {"Id": str(position), "LineNum": position, "Description": "as agreed", "Amount": amount}
    if draw.random() < 0.12 or not size.items:
        detail = {"AccountRef": {"value": _FREIGHT}, "BillableStatus": "NotBillable", "TaxCodeRef": {"value": "NON"}}
        return {**line, "DetailType": "AccountBasedExpenseLineDetail", "AccountBasedExpenseLineDetail": detail}
    if draw.random() < 0.05:  # a line without an item is text
        detail = {"BillableStatus": "NotBillable"}
        return {
            **line,
            "Amount": Decimal("0.00"),
            "DetailType": "ItemBasedExpenseLineDetail",
            "ItemBasedExpenseLineDetail": detail,
        }
    quantity, cost = draw.randrange(1, 500), _cents(draw, 100_000)
    received = quantity if closed else draw.choice((0, 0, quantity // 2))
    priced: Record = {
        "ItemRef": {"value": str(draw.randrange(1, size.items + 1))},
        "Qty": quantity,
        "UnitPrice": cost,
        "BillableStatus": "NotBillable",
        "TaxCodeRef": {"value": "NON"},
    }
    return {
        **line,
        "Amount": cost * quantity,
        "Received": received,
        "DetailType": "ItemBasedExpenseLineDetail",
        "ItemBasedExpenseLineDetail": priced,
    }


def _cents(draw: random.Random, bound: int) -> Decimal:
    return Decimal(draw.randrange(1, bound)).scaleb(-2)
