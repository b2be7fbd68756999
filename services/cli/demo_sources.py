"""The sources of the demo: for each connector a stand-in of its vendor, and how a user would configure it.

To add one: an entry in `DEMO_SOURCES`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import JsonValue

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.server import Behaviour
from sandboxes.data import northwind_shop
from sandboxes.files.app import build_app as build_files
from sandboxes.files.state import FilesState
from sandboxes.finale.app import build_app as build_finale
from sandboxes.finale.generated import filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.json_api.app import build_app as build_json_api
from sandboxes.json_api.state import JsonApiState
from sandboxes.quickbooks.app import build_app as build_quickbooks
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches as QuickBooksSwitches
from sandboxes.quickbooks.tokens import DEFAULT_REALM, App
from sandboxes.serving import running
from services.cli.stack.places import secret, write_private
from shared.contracts.ids import Entity

JsonObject = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A vendor's stand-in that is not running yet. `truth`: live records by entity, as the vendor knows them."""

    serve: Callable[[int], AbstractAsyncContextManager[str]]
    """Given a port (0: any free one), runs it and yields its base URL."""
    truth: Callable[[], Mapping[Entity, int]]


@dataclass(frozen=True, slots=True)
class DemoSource:
    """One source as its user would add it."""

    source_type: str
    display_name: str
    sandbox: Callable[[str], Sandbox]
    """Given the secret that the stand-in asks for."""
    config: Callable[[str], JsonObject]
    """Given the stand-in's base URL."""
    credentials: Callable[[str], JsonObject]
    """Given the secret."""
    field_mappings: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A stand-in that answers at `url`."""

    source: DemoSource
    url: str
    secret: str
    truth: Callable[[], Mapping[Entity, int]]

    @property
    def authority(self) -> str:
        """host:port, for HEADRACE_EGRESS_ALLOW."""
        return urlsplit(self.url).netloc

    def body(self) -> JsonObject:
        """What `POST /api/sources` takes."""
        body: dict[str, JsonValue] = {
            "source_type": self.source.source_type,
            "display_name": self.source.display_name,
            "config": dict(self.source.config(self.url)),
            "credentials": dict(self.source.credentials(self.secret)),
            "sync_frequency": "manual",
        }
        if self.source.field_mappings is not None:
            body["field_mappings"] = dict(self.source.field_mappings)
        return body


def _json_api(token: str) -> Sandbox:
    state = JsonApiState.northwind(Behaviour(Auth("bearer", {token: "demo"})))
    return Sandbox(
        serve=lambda port: running(build_json_api(state), port=port),
        truth=lambda: {
            "inventory": len(state.records("products")),
            "vendors": len(state.records("suppliers")),
            "purchase_orders": len(state.records("orders")),
        },
    )


def _json_api_config(base: str) -> JsonObject:
    def entity(collection: str, key: str) -> JsonValue:
        return {
            "url": f"{base}/cursor/{collection}",
            "params": {"limit": "20"},
            "records_path": "data",
            "id_path": key,
            "updated_at_path": "updatedAt",
            "pagination": {"type": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"},
        }

    return {
        "entities": {
            "inventory": entity("products", "productID"),
            "vendors": entity("suppliers", "supplierID"),
            "purchase_orders": entity("orders", "orderID"),
        }
    }


NORTHWIND_MAPPINGS: Final[JsonObject] = {
    "inventory": {
        "sku": "to_string(productID)",
        "name": "productName",
        "description": "quantityPerUnit",
        "status": {"path": "to_string(discontinued)", "map": {"true": "inactive", "false": "active"}},
        "quantity_on_hand": "unitsInStock",
        "quantity_on_order": "unitsOnOrder",
        "reorder_point": "reorderLevel",
        "unit_price": "unitPrice",
        "preferred_vendor_id": "to_string(supplier.id)",
    },
    "vendors": {
        "name": "companyName",
        "contact_name": "contactName",
        "contact_phone": "phone",
        "address": "address",
    },
    "purchase_orders": {
        "order_number": "orderNumber",
        "vendor_id": "to_string(supplier.id)",
        "status": {
            "path": "status",
            "map": {
                "DRAFT": "draft",
                "SENT": "submitted",
                "PART_RECEIVED": "partially_received",
                "RECEIVED": "received",
                "CANCELLED": "cancelled",
            },
        },
        "order_date": "orderDate",
        "expected_date": "expectedDate",
        "received_date": "receivedDate",
        "currency": "currency",
        "subtotal": "subtotal",
        "tax": "tax",
        "shipping": "shipping",
        "total": "total",
        "notes": "notes",
        "lines": (
            "lines[].{line_number: lineNumber, item_id: to_string(productID), description: description, "
            "quantity: quantity, quantity_received: quantityReceived, unit_cost: unitCost, line_total: lineTotal}"
        ),
    },
}


def _csv_api(key: str) -> Sandbox:
    state = FilesState.northwind(Behaviour(Auth("header", {key: "demo"}, "X-Shop-Key")))
    return Sandbox(
        serve=lambda port: running(build_files(state), port=port),
        truth=lambda: {
            "inventory": len(northwind_shop.rows("products")),
            "vendors": len(northwind_shop.rows("suppliers")),
        },
    )


def _csv_api_config(base: str) -> JsonObject:
    # The suppliers as published quote nothing, though values hold commas; the variant with CR LF quotes them.
    return {
        "entities": {
            "inventory": {"url": f"{base}/products.csv", "id_column": "productID"},
            "vendors": {
                "url": f"{base}/suppliers.csv?crlf=1",
                "id_column": "supplierID",
                "null_values": ["", "NULL"],
            },
        }
    }


_CSV_API_MAPPINGS: Final[JsonObject] = {
    "inventory": {
        "sku": "productID",
        "name": "productName",
        "description": "quantityPerUnit",
        "status": {"path": "discontinued", "map": {"1": "inactive", "0": "active"}},
        "quantity_on_hand": "unitsInStock",
        "quantity_on_order": "unitsOnOrder",
        "reorder_point": "reorderLevel",
        "unit_price": "unitPrice",
        "preferred_vendor_id": "supplierID",
    },
    "vendors": {
        "name": "companyName",
        "contact_name": "contactName",
        "contact_phone": "phone",
        "address": "address",
        "website": "homePage",
    },
}


def _finale(secret_word: str) -> Sandbox:
    # The lines come with the collection: with a call for each order the second sync would wait for the minute's limit.
    state = FinaleState(
        filling(),
        behaviour=Behaviour(Auth("basic", {f"demo:{secret_word}": "acme"})),
        switches=Switches(order_lines_in_collection=True),
    )
    return Sandbox(
        serve=lambda port: running(build_finale(state), port=port),
        truth=lambda: {
            "inventory": len(state.records("product")),
            "vendors": sum("SUPPLIER" in party["roleTypeIdList"] for party in state.records("partygroup")),
            "purchase_orders": sum(order["orderTypeId"] == "PURCHASE_ORDER" for order in state.records("order")),
        },
    )


def _quickbooks(word: str) -> Sandbox:
    # Tokens that never rotate: a company that is served anew after a restart still knows its source.
    state = QuickBooksState(switches=QuickBooksSwitches(rotate_after_hours=24 * 365 * 100))
    app = App(client_id="demo-client", client_secret=word)
    state.add_app(app)
    state.tokens.known_consent(app, DEFAULT_REALM, f"RT1-{word}")
    return Sandbox(
        serve=lambda port: running(build_quickbooks(state), port=port),
        truth=lambda: {
            "inventory": sum(item["Type"] in ("Inventory", "NonInventory") for item in state.records("Item")),
            "vendors": len(state.records("Vendor")),
            "purchase_orders": len(state.records("PurchaseOrder")),
        },
    )


def _quickbooks_config(base: str) -> JsonObject:
    return {
        "client_id": "demo-client",
        "realm_id": DEFAULT_REALM,
        "environment": "sandbox",
        "base_url": base,
        "token_url": f"{base}/oauth2/v1/tokens/bearer",
    }


DEMO_SOURCES: Final[Sequence[DemoSource]] = (
    DemoSource(
        source_type="json_api",
        display_name="Northwind (JSON API)",
        sandbox=_json_api,
        config=_json_api_config,
        credentials=lambda token: {"type": "bearer", "token": token},
        field_mappings=NORTHWIND_MAPPINGS,
    ),
    DemoSource(
        source_type="csv_api",
        display_name="Northwind (CSV files)",
        sandbox=_csv_api,
        config=_csv_api_config,
        credentials=lambda key: {"type": "headers", "headers": {"X-Shop-Key": key}},
        field_mappings=_CSV_API_MAPPINGS,
    ),
    DemoSource(
        source_type="finale_inventory",
        display_name="Acme Trading (Finale Inventory)",
        sandbox=_finale,
        config=lambda base: {"account": "acme", "base_url": base, "time_zone": "America/New_York"},
        credentials=lambda word: {"api_key": "demo", "api_secret": word},
    ),
    DemoSource(
        source_type="quickbooks",
        display_name="A company in QuickBooks",
        sandbox=_quickbooks,
        config=_quickbooks_config,
        credentials=lambda word: {"client_secret": word, "refresh_token": f"RT1-{word}"},
    ),
)


@asynccontextmanager
async def serving_sandboxes(
    keep_in: Path, sources: Sequence[DemoSource] = DEMO_SOURCES
) -> AsyncIterator[Sequence[RunningSandbox]]:
    """The stand-ins of `sources`, on loopback; ports and secrets are kept in a directory, so that sources last."""
    async with AsyncExitStack() as stack:
        found = []
        for source in sources:
            word = secret(keep_in / f"sandbox-{source.source_type}.secret")
            sandbox = source.sandbox(word)
            url = await _serve(stack, sandbox, keep_in / f"sandbox-{source.source_type}.port")
            found.append(RunningSandbox(source, url, word, sandbox.truth))
        yield found


async def _serve(stack: AsyncExitStack, sandbox: Sandbox, port_file: Path) -> str:
    with suppress(OSError):  # somebody else has the port of the last time
        if port := _port(port_file):
            return await stack.enter_async_context(sandbox.serve(port))
    url = await stack.enter_async_context(sandbox.serve(0))
    write_private(port_file, str(urlsplit(url).port))
    return url


def _port(file: Path) -> int:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0
