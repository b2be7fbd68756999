"""`json_api` against the Northwind sandbox: every style of paging, and every form of credentials."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.server import Behaviour
from sandboxes.data.documents import EntityName
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from services.cli.conformance.sandboxed import Records, SandboxVendor
from services.cli.demo_sources import NORTHWIND_MAPPINGS
from shared.connector_sdk.conformance.description import Conformance, Setup, Vendor
from shared.contracts.ids import Entity

_GOOD, _WRONG = "good-key-of-the-kit", "wrong-key-of-the-kit"
_COLLECTIONS: Mapping[Entity, tuple[EntityName, str]] = {
    "inventory": ("products", "productID"),
    "vendors": ("suppliers", "supplierID"),
    "purchase_orders": ("orders", "orderID"),
}


@dataclass(frozen=True, slots=True)
class _Style:
    """One way to page, and one to sign in."""

    path: str
    pagination: Mapping[str, Any]
    auth: Auth
    credentials: Mapping[str, Any]
    records_path: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    def credentials_with(self, secret: str) -> Mapping[str, Any]:
        return {name: secret if value == _GOOD else value for name, value in self.credentials.items()}


_STYLES: Mapping[str, _Style] = {
    "cursor": _Style(
        "cursor",
        {"type": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"},
        Auth("bearer", {_GOOD: "kit"}),
        {"type": "bearer", "token": _GOOD},
        "data",
        {"limit": "20"},
    ),
    "page": _Style(
        "page",
        {"type": "page", "page_param": "page", "size_param": "size", "page_size": 20},
        Auth("basic", {f"kit:{_GOOD}": "kit"}, refusal=403),
        {"type": "basic", "username": "kit", "password": _GOOD},
        "items",
    ),
    "offset": _Style(
        "offset",
        {"type": "offset", "offset_param": "offset", "limit_param": "limit", "page_size": 20},
        Auth("header", {_GOOD: "kit"}, "X-Shop-Key"),
        {"type": "api_key", "header": "X-Shop-Key", "value": _GOOD},
        "results",
    ),
    "link": _Style(  # this server's links repeat the whole query, the key too: it must not get into a cursor
        "link",
        {"type": "link", "next_path": "next"},
        Auth("query", {_GOOD: "kit"}, "api_key"),
        {"type": "api_key", "query": "api_key", "value": _GOOD},
        "items",
        {"limit": "20"},
    ),
    "link_header": _Style(
        "linkheader",
        {"type": "link"},
        Auth("query", {_GOOD: "kit"}, "api_key"),
        {"type": "api_key", "query": "api_key", "value": _GOOD},
        None,
        {"limit": "20"},
    ),
    "one_answer": _Style("all", {"type": "none"}, Auth("bearer", {_GOOD: "kit"}), {"type": "bearer", "token": _GOOD}),
}


def _setup(style: _Style) -> Setup:
    return Setup(start=lambda: _started(style))


def _started(style: _Style) -> AbstractAsyncContextManager[Vendor]:
    @asynccontextmanager
    async def started() -> AsyncIterator[Vendor]:
        state = JsonApiState.northwind(Behaviour(style.auth))
        async with running(build_app(state)) as url:
            yield SandboxVendor(
                behaviour=state.behaviour,
                config={"entities": {entity: _entity(style, url, entity) for entity in _COLLECTIONS}},
                credentials=style.credentials_with(_GOOD),
                wrong_credentials=style.credentials_with(_WRONG),
                secrets=(_GOOD, _WRONG),
                true_records=lambda entity: _truth(state, entity),
                change_one=lambda entity: _change(state, entity),
                disturb_order=lambda entity, read: _disturb(state, entity, read),
                field_mappings=NORTHWIND_MAPPINGS,
            )

    return started()


def _entity(style: _Style, url: str, entity: Entity) -> Mapping[str, Any]:
    collection, key = _COLLECTIONS[entity]
    more = {} if style.records_path is None else {"records_path": style.records_path}
    return {
        "url": f"{url}/{style.path}/{collection}",
        "params": dict(style.params),
        "id_path": key,
        "updated_at_path": "updatedAt",
        "updated_since_param": "updated_since",
        "pagination": dict(style.pagination),
    } | more


def _truth(state: JsonApiState, entity: Entity) -> Records:
    collection, key = _COLLECTIONS[entity]
    return {str(record[key]): record for record in state.records(collection)}


def _change(state: JsonApiState, entity: Entity) -> str:
    collection, _ = _COLLECTIONS[entity]
    key = state.tables[collection].keys()[0]
    state.edit(collection, key)
    return str(key)


def _disturb(state: JsonApiState, entity: Entity, read: Sequence[str]) -> None:
    collection, _ = _COLLECTIONS[entity]
    keys = state.tables[collection].keys()
    state.remove(collection, next(key for key in keys if str(key) in read))
    state.edit(collection, keys[-1])


CONFORMANCE = Conformance(
    setups={name: _setup(style) for name, style in _STYLES.items()},
    exempt={
        "spool_streams": "an answer of up to 8 MB is parsed at once, and the stand-in's are; larger ones are streamed"
    },
)
