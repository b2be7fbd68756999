"""`csv_api` against the file server: a made shop of 600 products, in two dialects."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.server import Behaviour
from sandboxes.files.app import build_app
from sandboxes.files.state import FilesState
from sandboxes.serving import running
from services.cli.conformance.sandboxed import Records, SandboxVendor
from shared.connector_sdk.conformance.description import Conformance, Setup, Vendor
from shared.contracts.ids import Entity

_PRODUCTS = 600
_GOOD, _WRONG = "good-key-of-the-kit", "wrong-key-of-the-kit"
_FILE, _KEY = "products.csv", "productCode"
_MAPPINGS: Mapping[str, Any] = {
    "inventory": {
        "sku": "productCode",
        "description": "description",
        "quantity_on_hand": "qtyOnHand",
        "reorder_point": "reorderLevel",
        "unit_cost": "unitCost",
        "preferred_vendor_id": "defaultSupplierId",
    }
}


def _setup(query: str, options: Mapping[str, Any], auth: Auth, credentials: Mapping[str, Any], wrong: Any) -> Setup:
    def start() -> AbstractAsyncContextManager[Vendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Vendor]:
            state = FilesState.generated(_PRODUCTS, behaviour=Behaviour(auth))
            async with running(build_app(state)) as url:
                inventory = {"url": f"{url}/{_FILE}{query}", "id_column": _KEY, **options}
                yield SandboxVendor(
                    behaviour=state.behaviour,
                    config={"entities": {"inventory": inventory}},
                    credentials=credentials,
                    wrong_credentials=wrong,
                    secrets=(_GOOD, _WRONG),
                    true_records=lambda entity: _truth(state, entity),
                    change_one=lambda entity: _change(state, entity),
                    disturb_order=lambda entity, read: _disturb(state, entity, read),
                    field_mappings=_MAPPINGS,
                )

        return started()

    return Setup(start)


def _rows(state: FilesState) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(state.files[_FILE].content.decode())))


def _truth(state: FilesState, entity: Entity) -> Records:  # noqa: ARG001 - one entity
    return {row[_KEY]: {name: cell or None for name, cell in row.items()} for row in _rows(state)}


def _change(state: FilesState, entity: Entity) -> str:  # noqa: ARG001 - one entity
    rows = _rows(state)
    rows[0]["notes"] = "changed"
    state.put_rows(_FILE, rows)
    return rows[0][_KEY]


def _disturb(state: FilesState, entity: Entity, read: Sequence[str]) -> None:  # noqa: ARG001 - one entity
    state.put_rows(_FILE, [row for row in reversed(_rows(state)) if row[_KEY] != read[0]])


def _headers(secret: str) -> Mapping[str, Any]:
    return {"type": "headers", "headers": {"X-Shop-Key": secret}}


def _params(secret: str) -> Mapping[str, Any]:
    return {"type": "query", "params": {"api_key": secret}}


CONFORMANCE = Conformance(
    setups={
        "comma": _setup("", {}, Auth("header", {_GOOD: "kit"}, "X-Shop-Key"), _headers(_GOOD), _headers(_WRONG)),
        "semicolon_utf16": _setup(
            "?delimiter=semicolon&encoding=utf-16&skip=3&crlf=1",
            {"delimiter": ";", "encoding": "utf-16", "skip_rows": 3},
            Auth("query", {_GOOD: "kit"}, "api_key"),
            _params(_GOOD),
            _params(_WRONG),
        ),
    }
)
