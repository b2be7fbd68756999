"""A QuickBooks company, a source that reads it through the whole pipeline, and the rows that it must become."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pipeline import Pipeline
from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.clock import MovableClock
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.serving import running
from shared.contracts.ids import SourceId
from shared.storage.run_views import RunView

UNLIMITED: Mapping[str, Any] = {
    "realm_limits": (), "app_limits": (), "batch_realm_limits": (), "batch_app_limits": (), "concurrency": None
}  # fmt: skip
Rows = dict[str, dict[str, Any]]


@dataclass
class CompanyRig:
    """One source of one company."""

    pipeline: Pipeline
    state: QuickBooksState
    url: str
    source: SourceId

    async def sync(self, **wishes: Any) -> RunView:
        return await self.pipeline.sync(self.source, **wishes)

    async def another_source(self) -> SourceId:
        """The same company by a consent of its own."""
        return await add_company(self.pipeline, self.state, self.url)

    async def tables(self, source: SourceId | None = None) -> dict[str, Rows]:
        """What is in the tables of a source, by entity and external id; orders with their lines."""
        source = source or self.source
        return {
            entity: await _rows(self.pipeline, entity, source) for entity in ("inventory", "vendors", "purchase_orders")
        }

    def truth(self) -> dict[str, Rows]:
        """What must be in them, worked out from the company's own records."""
        orders = self.state.records("PurchaseOrder")
        items = [item for item in self.state.records("Item") if item["Type"] in ("Inventory", "NonInventory")]
        return {
            "inventory": {item["Id"]: item_row(item, orders) for item in items},
            "vendors": {vendor["Id"]: vendor_row(vendor) for vendor in self.state.records("Vendor")},
            "purchase_orders": {order["Id"]: order_row(order) for order in orders},
        }


def credentials(state: QuickBooksState) -> dict[str, str]:
    """Of a consent that was given just now."""
    return {"client_secret": "sandbox-secret", "refresh_token": state.grant()["refresh_token"]}


def config(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "client_id": "sandbox-client",
        "realm_id": DEFAULT_REALM,
        "environment": "sandbox",
        "base_url": url,
        "token_url": f"{url}/oauth2/v1/tokens/bearer",
        **changes,
    }


async def add_company(pipeline: Pipeline, state: QuickBooksState, url: str, **columns: Any) -> SourceId:
    return await pipeline.add_source(config(url), credentials(state), source_type="quickbooks", **columns)


@asynccontextmanager
async def running_company(
    pipeline: Pipeline, size: Size | None = None, *, still: bool = False, **switches: Any
) -> AsyncIterator[CompanyRig]:
    """Serve it and connect it; by default without limits."""
    clock = MovableClock(datetime(2026, 5, 20, 17, 3, 11, tzinfo=UTC) if still else None)
    state = QuickBooksState(size, clock=clock, switches=Switches(**{**UNLIMITED, **switches}))
    async with running(build_app(state)) as url:
        yield CompanyRig(pipeline, state, url, await add_company(pipeline, state, url))


async def _rows(pipeline: Pipeline, entity: str, source: SourceId) -> Rows:
    ours = {
        "id", "user_id", "source_id", "source_system", "extra",
        "first_seen_at", "last_changed_at", "edited_at", "deleted_at",
    }  # fmt: skip
    found = await pipeline.rows(entity, source)
    rows = {row["external_id"]: {name: value for name, value in row.items() if name not in ours} for row in found}
    if entity == "purchase_orders":
        lines = await pipeline.admin.fetch(
            "select l.*, o.external_id from purchase_order_lines l "
            "join purchase_orders o on o.id = l.purchase_order_id "
            "where o.source_id = $1 and o.deleted_at is null order by o.external_id, l.place",
            source,
        )
        hidden = {"id", "user_id", "purchase_order_id", "external_id", "place"}
        for row in rows.values():
            row["lines"] = []
        for line in lines:
            plain = {name: value for name, value in dict(line).items() if name not in hidden}
            rows[line["external_id"]]["lines"].append(plain)
    return rows


def item_row(item: dict[str, Any], orders: list[dict[str, Any]]) -> dict[str, Any]:
    due = Decimal(0)
    for order in orders:
        for line in order["Line"] if order["POStatus"] == "Open" else ():
            detail = line.get("ItemBasedExpenseLineDetail", {})
            if detail.get("ItemRef", {}).get("value") == item["Id"]:
                due += max(Decimal(0), Decimal(detail["Qty"]) - Decimal(line.get("Received", 0)))
    return {
        "external_id": item["Id"],
        "sku": item.get("Sku") or item["Name"],
        "name": item["Name"],
        "description": item.get("Description"),
        "category": item.get("ParentRef", {}).get("name"),
        "status": "active" if item["Active"] else "inactive",
        "quantity_on_hand": _number(item.get("QtyOnHand")),
        "quantity_on_order": due,
        "quantity_reserved": None,
        "reorder_point": _number(item.get("ReorderPoint")),
        "reorder_quantity": None,
        "unit_cost": _number(item.get("PurchaseCost")),
        "unit_price": _number(item.get("UnitPrice")),
        "currency": None,
        "unit_of_measure": None,
        "barcode": None,
        "location": None,
        "preferred_vendor_id": item.get("PrefVendorRef", {}).get("value"),
        "source_updated_at": _moment(item),
    }


def vendor_row(vendor: dict[str, Any]) -> dict[str, Any]:
    address = vendor.get("BillAddr", {})
    parts = ("Line1", "Line2", "Line3", "Line4", "Line5", "City", "CountrySubDivisionCode", "PostalCode", "Country")
    people = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")
    return {
        "external_id": vendor["Id"],
        "name": vendor["DisplayName"],
        "contact_name": " ".join(vendor[part] for part in people if vendor.get(part)) or None,
        "contact_email": vendor.get("PrimaryEmailAddr", {}).get("Address"),
        "contact_phone": vendor.get("PrimaryPhone", {}).get("FreeFormNumber"),
        "address": ", ".join(address[part] for part in parts if address.get(part)) or None,
        "website": vendor.get("WebAddr", {}).get("URI"),
        "payment_terms": vendor.get("TermRef", {}).get("name"),
        "currency": vendor.get("CurrencyRef", {}).get("value"),
        "lead_time_days": None,
        "status": "active" if vendor["Active"] else "inactive",
        "notes": None,
        "source_updated_at": _moment(vendor),
    }


def order_row(order: dict[str, Any]) -> dict[str, Any]:
    lines = [line_row(number, line) for number, line in enumerate(order["Line"], start=1)]
    arrived = any((line["quantity_received"] or 0) > 0 for line in lines)
    awaited = any((line["quantity"] or 0) > (line["quantity_received"] or 0) for line in lines)
    status = (
        "received" if order["POStatus"] == "Closed" else "partially_received" if arrived and awaited else "submitted"
    )
    return {
        "external_id": order["Id"],
        "order_number": order.get("DocNumber") or f"QBO-{order['Id']}",
        "vendor_id": order["VendorRef"]["value"],
        "status": status,
        "order_date": date.fromisoformat(order["TxnDate"]),
        "expected_date": date.fromisoformat(order["DueDate"]) if "DueDate" in order else None,
        "received_date": None,
        "currency": order.get("CurrencyRef", {}).get("value"),
        "subtotal": sum((Decimal(line["Amount"]) for line in order["Line"]), Decimal(0)),
        "tax": _number(order.get("TxnTaxDetail", {}).get("TotalTax")),
        "shipping": None,
        "total": _number(order["TotalAmt"]),
        "notes": "\n".join(order[part] for part in ("PrivateNote", "Memo") if order.get(part)) or None,
        "source_updated_at": _moment(order),
        "lines": lines,
    }


def line_row(number: int, line: dict[str, Any]) -> dict[str, Any]:
    detail = line.get("ItemBasedExpenseLineDetail", {})
    return {
        "line_number": number,
        "item_id": detail.get("ItemRef", {}).get("value"),
        "sku": None,
        "description": line.get("Description"),
        "quantity": _number(detail.get("Qty")),
        "quantity_received": _number(line.get("Received")),
        "unit_cost": _number(detail.get("UnitPrice")),
        "line_total": _number(line["Amount"]),
    }


def _number(value: int | Decimal | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _moment(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["MetaData"]["LastUpdatedTime"]).astimezone(UTC)
