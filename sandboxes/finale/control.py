"""Switches, spoils, the clock and the shop's data over HTTP, for tests that drive the sandbox in another process."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from aiohttp import web

from sandboxes.behaviour.control import attempt, body_of, fields_of, json_of, rule_routes
from sandboxes.behaviour.server import CONTROL
from sandboxes.data.documents import decode
from sandboxes.finale.orders import OrderAction
from sandboxes.finale.rates import RATES
from sandboxes.finale.spoils import Spoil
from sandboxes.finale.state import FinaleState
from sandboxes.finale.store import RESOURCES, Number
from sandboxes.finale.switches import Switches


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    """Set `fields` of the record at `url`."""

    resource: Literal["product", "partygroup", "facility", "order"]
    url: str
    fields: msgspec.Raw


class Addition(msgspec.Struct, forbid_unknown_fields=True):
    """Create a product (`productId`), party (`groupName`, `roleTypeIdList`) or order (`orderTypeId`)."""

    resource: Literal["product", "partygroup", "order"]
    fields: msgspec.Raw


class Act(msgspec.Struct, forbid_unknown_fields=True):
    """Do this to the product or order at `url`."""

    url: str
    action: Literal["lock", "complete", "cancel", "edit", "activate", "deactivate"]


class Receipt(msgspec.Struct, forbid_unknown_fields=True):
    """Receive `quantities` (product address to number) for the order at `url`."""

    url: str
    quantities: msgspec.Raw


class Stock(msgspec.Struct, forbid_unknown_fields=True):
    """Add `difference` to what a facility has of a product."""

    product: str
    facility: str
    difference: msgspec.Raw


class ClockMove(msgspec.Struct, forbid_unknown_fields=True):
    """Move the clock by `advance` seconds, let it stand at `hold`, or let it run again (neither)."""

    advance: float | None = None
    hold: datetime | None = None


def data_routes(state: FinaleState) -> list[web.RouteDef]:
    """All of them; README.md has the bodies."""

    async def switches(request: web.Request) -> web.Response:
        state.switches = await body_of(request, Switches)
        return json_of({"ok": True})

    async def clock(request: web.Request) -> web.Response:
        move = await body_of(request, ClockMove)
        if move.advance is not None:
            state.clock.advance(timedelta(seconds=move.advance))
        elif move.hold is not None:
            moment = move.hold
            attempt(lambda: state.clock.hold(moment))
        else:
            state.clock.release()
        return json_of({"now": state.clock.now().isoformat(), "stamp": state.store.stamp()})

    async def records(request: web.Request) -> web.Response:
        for resource in RESOURCES:
            if resource == request.match_info["resource"]:
                return json_of(state.records(resource))
        if request.match_info["resource"] == "inventoryitem":
            return json_of(state.stock())
        raise web.HTTPNotFound(text="no such resource")

    async def windows(_request: web.Request) -> web.Response:
        scale = state.switches.window_scale
        return json_of(
            {
                name: {"count": count, "seconds": seconds * scale, "worst": state.worst_window(name, seconds * scale)}
                for name, (count, seconds) in RATES.items()
            }
        )

    return [
        web.post(f"{CONTROL}switches", switches),
        *rule_routes("spoils", state.spoils, Spoil),
        web.post(f"{CONTROL}clock", clock),
        web.get(f"{CONTROL}records/{{resource}}", records),
        web.get(f"{CONTROL}rates", windows),
        *_change_routes(state),
    ]


def _change_routes(state: FinaleState) -> list[web.RouteDef]:
    async def edit(request: web.Request) -> web.Response:
        order = await body_of(request, Edit)
        fields = fields_of(order.fields)
        if order.resource == "product":
            attempt(lambda: state.edit_product(order.url, **fields))
        elif order.resource == "order":
            attempt(lambda: state.edit_order(order.url, **fields))
        else:
            resource = order.resource
            attempt(lambda: state.catalog.edit(resource, order.url, **fields))
        return json_of({"ok": True})

    async def add(request: web.Request) -> web.Response:
        order = await body_of(request, Addition)
        fields = fields_of(order.fields)
        if order.resource == "product":
            product_id = str(fields.pop("productId", ""))
            url = attempt(lambda: state.add_product(product_id, **fields))
        elif order.resource == "order":
            url = attempt(lambda: str(state.orders.create(fields)["orderUrl"]))
        else:
            name, roles = str(fields.pop("groupName", "")), fields.pop("roleTypeIdList", [])
            url = attempt(lambda: state.add_party(name, *map(str, roles), **fields))
        return json_of({"url": url})

    async def act(request: web.Request) -> web.Response:
        order = await body_of(request, Act)
        if order.action == "activate" or order.action == "deactivate":  # noqa: PLR1714 - so the checker sees the rest
            attempt(lambda: state.catalog.activate(order.url, active=order.action == "activate"))
        else:
            action: OrderAction = order.action
            attempt(lambda: state.act(order.url, action))
        return json_of({"ok": True})

    async def receive(request: web.Request) -> web.Response:
        order = await body_of(request, Receipt)
        quantities = fields_of(order.quantities, "quantities")
        return json_of({"url": attempt(lambda: state.receive(order.url, quantities))})

    async def stock(request: web.Request) -> web.Response:
        order = await body_of(request, Stock)
        difference = decode(bytes(order.difference))
        if isinstance(difference, bool) or not isinstance(difference, Number):
            raise web.HTTPBadRequest(text="difference is a number")
        attempt(lambda: state.add_stock(order.product, order.facility, difference))
        return json_of({"ok": True})

    return [
        web.post(f"{CONTROL}edit", edit),
        web.post(f"{CONTROL}add", add),
        web.post(f"{CONTROL}act", act),
        web.post(f"{CONTROL}receive", receive),
        web.post(f"{CONTROL}stock", stock),
    ]
