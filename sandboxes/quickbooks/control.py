"""The switches and the data over HTTP, for tests that drive the sandbox in another process."""

from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Literal

import msgspec
from aiohttp import web

from sandboxes.behaviour.control import attempt, body_of, fields_of, json_of, rule_routes, window_of
from sandboxes.behaviour.server import CONTROL
from sandboxes.data.documents import encode
from sandboxes.quickbooks.entities import SPECS, EntityName
from sandboxes.quickbooks.faults import ExchangeFault, VendorFault
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM, App
from sandboxes.quickbooks.webhooks import WebhookTarget
from sandboxes.quickbooks.wire import QuickBooksError


class Edit(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One edit; which members it needs depends on the path. `fields` is JSON of its own: decimals stay exact."""

    entity: EntityName = "Item"
    id: str = ""
    fields: msgspec.Raw = msgspec.Raw(b"{}")
    gone: str = ""
    line: str = ""
    quantity: Decimal = Decimal(0)
    percent: float = 0
    realm: str = DEFAULT_REALM


class Connection(msgspec.Struct, forbid_unknown_fields=True):
    """Which company is connected to which app."""

    realm: str = DEFAULT_REALM
    client_id: str = App().client_id


class NewCompany(msgspec.Struct, forbid_unknown_fields=True):
    """A further company."""

    realm: str
    name: str
    items: int = 40
    vendors: int = 8
    orders: int = 25
    seed: int = 1
    environment: Literal["sandbox", "production"] = "sandbox"


class Move(msgspec.Struct, forbid_unknown_fields=True):
    """Move the clock forward."""

    seconds: float


def own_routes(state: QuickBooksState) -> list[web.RouteDef]:
    """All control paths that are this sandbox's own."""
    return [*_switch_routes(state), *_token_routes(state), *_data_routes(state), *_webhook_routes(state)]


def _switch_routes(state: QuickBooksState) -> list[web.RouteDef]:
    async def set_switches(request: web.Request) -> web.Response:
        """Only the switches that are named change."""
        await body_of(request, dict[str, Any])
        merged = {**msgspec.json.decode(encode(state.switches)), **msgspec.json.decode(await request.read())}
        try:
            state.switches = msgspec.convert(merged, Switches)
        except msgspec.ValidationError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return json_of(state.switches)

    async def move(request: web.Request) -> web.Response:
        order = await body_of(request, Move)
        attempt(lambda: state.clock.advance(order.seconds))
        return json_of({"now": state.clock.wall()})

    async def limits(request: web.Request) -> web.Response:
        seconds = window_of(request)
        return json_of(
            {
                "worst_of_realms": state.limits.realms.worst_window(seconds),
                "worst_of_apps": state.limits.apps.worst_window(seconds),
                "worst_of_batches": state.limits.batch_realms.worst_window(seconds),
                "max_in_flight": dict(state.limits.max_in_flight),
            }
        )

    return [
        web.post(f"{CONTROL}switches", set_switches),
        *rule_routes("vendor-faults", state.faults, VendorFault),
        web.post(f"{CONTROL}clock", move),
        web.get(f"{CONTROL}windows", limits),
    ]


def _token_routes(state: QuickBooksState) -> list[web.RouteDef]:
    async def add_app(request: web.Request) -> web.Response:
        state.add_app(await body_of(request, App))
        return json_of({"ok": True})

    async def grant(request: web.Request) -> web.Response:
        order = await body_of(request, Connection)
        reply = attempt(lambda: state.grant(order.realm, order.client_id), QuickBooksError)
        return json_of({**reply, "realmId": order.realm})

    async def end(request: web.Request) -> web.Response:
        state.tokens.end((await body_of(request, Connection)).realm, "ended by the user")
        return json_of({"ok": True})

    async def set_faults(request: web.Request) -> web.Response:
        state.sign_in.faults.set(*await body_of(request, list[ExchangeFault]))
        state.sign_in.gate.clear()
        return json_of({"ok": True})

    async def release(_request: web.Request) -> web.Response:
        state.sign_in.gate.set()
        return json_of({"ok": True})

    async def exchanges(_request: web.Request) -> web.Response:
        return json_of(state.sign_in.log.report(state.tokens.grants))

    return [
        web.post(f"{CONTROL}apps", add_app),
        web.post(f"{CONTROL}grant", grant),
        web.post(f"{CONTROL}end-grants", end),
        web.post(f"{CONTROL}exchange-faults", set_faults),
        web.post(f"{CONTROL}exchange-release", release),
        web.get(f"{CONTROL}exchanges", exchanges),
    ]


def _data_routes(state: QuickBooksState) -> list[web.RouteDef]:
    async def add_company(request: web.Request) -> web.Response:
        order = await body_of(request, NewCompany)
        size = Size(order.items, order.vendors, order.orders)
        attempt(
            lambda: state.add_company(order.realm, order.name, size, order.seed, order.environment), QuickBooksError
        )
        return json_of({"ok": True})

    async def edit(request: web.Request) -> web.Response:
        order = await body_of(request, Edit)
        fields = fields_of(order.fields)
        kinds: dict[str, Callable[[], Any]] = {
            "create": lambda: {"id": state.create(order.entity, fields, order.realm)},
            "change": lambda: state.change(order.entity, order.id, fields, order.realm),
            "deactivate": lambda: state.deactivate(order.entity, order.id, order.realm),
            "delete": lambda: state.delete(order.entity, order.id, order.realm),
            "merge": lambda: state.merge(order.entity, order.id, order.gone, order.realm),
            "receive": lambda: state.receive(order.id, order.line, order.quantity, order.realm),
            "change-percent": lambda: {"changed": state.change_percent(order.entity, order.percent, order.realm)},
        }
        kind = kinds.get(request.match_info["kind"])
        if kind is None:
            raise web.HTTPNotFound(text=f"an edit is one of {', '.join(kinds)}")
        return json_of(attempt(kind, QuickBooksError) or {"ok": True})

    async def records(request: web.Request) -> web.Response:
        name, realm = request.match_info["entity"], request.query.get("realm", DEFAULT_REALM)
        entity = next((known for known in SPECS if known == name), None)
        if entity is None:
            raise web.HTTPNotFound(text="no such entity")
        return json_of(attempt(lambda: state.records(entity, realm), QuickBooksError))

    return [
        web.post(f"{CONTROL}companies", add_company),
        web.post(f"{CONTROL}edit/{{kind}}", edit),
        web.get(f"{CONTROL}records/{{entity}}", records),
    ]


def _webhook_routes(state: QuickBooksState) -> list[web.RouteDef]:
    async def configure(request: web.Request) -> web.Response:
        state.webhooks.configure(await body_of(request, WebhookTarget | None))  # type: ignore[arg-type]
        return json_of({"ok": True})

    async def deliver(request: web.Request) -> web.Response:
        made = await state.webhooks.deliver(everything="everything" in request.query)
        return json_of({"tries": [{"status": one.status, "events": one.events} for one in made]})

    async def deliveries(_request: web.Request) -> web.Response:
        tries = [{**asdict(one), "body": one.body.decode()} for one in state.webhooks.deliveries]
        return json_of({"tries": tries, "waiting": state.webhooks.waiting})

    return [
        web.post(f"{CONTROL}webhooks", configure),
        web.post(f"{CONTROL}webhooks/deliver", deliver),
        web.get(f"{CONTROL}webhooks", deliveries),
    ]
