"""`quickbooks` against its sandbox: a small company whose pages are small too. Tokens have tests of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.entities import EntityName
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.serving import running
from services.cli.conformance.sandboxed import Records, SandboxVendor
from shared.connector_sdk.conformance.description import Conformance, Setup, Vendor
from shared.connector_sdk.credentials import Secrets
from shared.contracts.ids import Entity

_GOOD, _WRONG = "good-token-of-the-kit", "wrong-token-of-the-kit"
_SECRET = "secret-of-the-kits-app"  # noqa: S105 - of no value outside
_SIZE = Size(items=60, vendors=55, orders=35)
_PAGE = 25
_TABLES: Final[dict[Entity, EntityName]] = {
    "inventory": "Item",
    "vendors": "Vendor",
    "purchase_orders": "PurchaseOrder",
}
_SAME: Final[dict[Entity, tuple[str, ...]]] = {
    "inventory": ("Id", "Name", "Type", "UnitPrice", "MetaData"),
    "vendors": ("Id", "DisplayName", "Balance", "MetaData"),
    "purchase_orders": ("Id", "TotalAmt", "POStatus", "Line", "MetaData"),
}


@asynccontextmanager
async def _started() -> AsyncIterator[Vendor]:
    switches = Switches(
        realm_limits=(), app_limits=(), batch_realm_limits=(), batch_app_limits=(), concurrency=None, query_max=_PAGE
    )
    state = QuickBooksState(_SIZE, switches=switches)
    state.fix_token(_GOOD)
    async with running(build_app(state)) as url:
        yield SandboxVendor(
            behaviour=state.behaviour,
            config={
                "client_id": "sandbox-client",
                "realm_id": DEFAULT_REALM,
                "environment": "sandbox",
                "base_url": url,
                "token_url": f"{url}/oauth2/v1/tokens/bearer",
            },
            credentials={"client_secret": _SECRET, "refresh_token": _GOOD},
            wrong_credentials={"client_secret": _SECRET, "refresh_token": _WRONG},
            secrets=(_SECRET, _GOOD, _WRONG),
            true_records=lambda entity: _truth(state, entity),
            change_one=lambda entity: _change(state, entity),
            disturb_order=lambda entity, read: _disturb(state, entity, read),
        )


def _truth(state: QuickBooksState, entity: Entity) -> Records:
    """Items that are goods; the fields that no side read adds to."""
    return {
        record["Id"]: {name: record[name] for name in _SAME[entity] if name in record}
        for record in state.records(_TABLES[entity])
        if entity != "inventory" or record["Type"] in ("Inventory", "NonInventory")
    }


def _change(state: QuickBooksState, entity: Entity) -> str:
    changed = sorted(_truth(state, entity), key=int)[3]
    fields = {
        "inventory": {"Description": "changed"},
        "vendors": {"AcctNum": "changed"},
        "purchase_orders": {"Memo": "changed"},
    }
    state.change(_TABLES[entity], changed, fields[entity])
    return changed


def _disturb(state: QuickBooksState, entity: Entity, read: Sequence[str]) -> None:
    """Lists lose nothing there; an order can be deleted. What is edited moves in every order but that of ids."""
    if entity == "purchase_orders":
        state.delete("PurchaseOrder", read[0])
    else:
        state.deactivate(_TABLES[entity], read[0])
    state.change(_TABLES[entity], read[1], {"Active": True} if entity != "purchase_orders" else {"Memo": "moved"})


def _bearer(credentials: Any) -> Secrets:
    """The kit has no keeper of tokens: what would be refreshed stands for the access token."""
    return Secrets(headers={"Authorization": f"Bearer {credentials.refresh_token.get_secret_value()}"})


CONFORMANCE = Conformance(
    setups={"company": Setup(_started, secrets_of=_bearer)},
    exempt={"loop_caught": "no answer names a next page; pages that do not get on are refused"},
)
