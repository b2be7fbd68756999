"""`finale_inventory` against the Finale sandbox: a small shop, its windows so short that no rule waits for them.

By REST, and by reports in both forms. GraphQL is read beyond 120,000 records only, which no rule can wait for: the
pipeline's tests have it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.server import Behaviour
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from services.cli.conformance.sandboxed import Records, SandboxVendor
from shared.connector_sdk.conformance.description import Conformance, Setup, Vendor
from shared.contracts.ids import Entity

_KEY, _SECRET, _WRONG = "good-key-of-the-kit", "good-secret-of-the-kit", "wrong-secret-of-the-kit"
_SIZE = Size(products=60, vendors=20, customers=5, purchase_orders=50, sales_orders=5)
_WINDOW_SCALE = 0.001
_ZONE = "America/New_York"


_REPORT = "/acme/doc/report/pivotTable/1717171717171/Report"
_REPORTS = {
    "inventory": f"{_REPORT}.csv?format=csv&data=product",
    "vendors": f"{_REPORT}.json?format=jsonObject&data=party",
    "purchase_orders": f"{_REPORT}.csv?format=csv&data=order",
}


@asynccontextmanager
async def _started(*, reports: bool = False) -> AsyncIterator[Vendor]:
    behaviour = Behaviour(Auth("basic", {f"{_KEY}:{_SECRET}": "acme"}))
    switches = Switches(window_scale=_WINDOW_SCALE, retry_after=True)
    state = FinaleState(filling(_SIZE), behaviour=behaviour, switches=switches, time_zone=_ZONE)
    async with running(build_app(state)) as url:
        urls = {entity: url + path for entity, path in _REPORTS.items()} if reports else {}
        yield SandboxVendor(
            behaviour=behaviour,
            config={"account": "acme", "time_zone": _ZONE, "base_url": url, "report_urls": urls},
            credentials={"api_key": _KEY, "api_secret": _SECRET},
            wrong_credentials={"api_key": _KEY, "api_secret": _WRONG},
            secrets=(_KEY, _SECRET, _WRONG),
            true_records=lambda entity: _truth(state, entity),
            change_one=lambda entity: _change(state, entity),
            disturb_order=lambda entity, read: _disturb(state, entity, read),
        )


def _truth(state: FinaleState, entity: Entity) -> Records:
    """Identity, number and time; the rest comes from several collections, and the pipeline's tests prove it."""
    if entity == "inventory":
        return {
            row["productUrl"]: {name: row[name] for name in ("productId", "statusId", "lastUpdatedDate")}
            for row in state.records("product")
        }
    if entity == "vendors":
        return {
            row["partyGroupUrl"]: {name: row[name] for name in ("partyId", "lastUpdatedDate")}
            for row in state.records("partygroup")
            if "SUPPLIER" in row["roleTypeIdList"]
        }
    return {
        row["orderUrl"]: {name: row[name] for name in ("orderId", "statusId", "lastUpdatedDate")}
        for row in state.records("order")
        if row["orderTypeId"] == "PURCHASE_ORDER"
    }


def _drafts(state: FinaleState) -> list[str]:
    orders = state.records("order")
    return [
        row["orderUrl"]
        for row in orders
        if row["orderTypeId"] == "PURCHASE_ORDER" and row["statusId"] == "ORDER_CREATED"
    ]


def _change(state: FinaleState, entity: Entity) -> str:  # noqa: ARG001 - only orders are read by their changes
    url = _drafts(state)[0]
    state.edit_order(url, publicNotes="changed")
    return url


def _disturb(state: FinaleState, entity: Entity, read: Sequence[str]) -> None:  # noqa: ARG001 - Finale deletes nothing
    state.edit_order(_drafts(state)[-1], publicNotes="disturbed")
    state.create_order()


CONFORMANCE = Conformance(
    setups={"rest": Setup(_started), "reports": Setup(partial(_started, reports=True))},
    exempt={
        "spool_streams": "Finale sends columns: no row is whole before the last one came; turned on disk",
        "loop_caught": "Finale pages nothing: the next order is worked out from a whole collection",
    },
)
