"""Changing the shop's data over HTTP, for tests that drive it in another process."""

import msgspec
from aiohttp import web

from sandboxes.behaviour.control import attempt, body_of, fields_of, json_of
from sandboxes.behaviour.server import CONTROL
from sandboxes.data.documents import EntityName
from sandboxes.json_api.state import ENTITIES, JsonApiState


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    """Set `fields` of the record `id`; they are JSON of their own, so that decimals stay exact."""

    entity: EntityName
    id: int | str
    fields: msgspec.Raw


class Addition(msgspec.Struct, forbid_unknown_fields=True):
    """Add a record with these fields."""

    entity: EntityName
    fields: msgspec.Raw


class Removal(msgspec.Struct, forbid_unknown_fields=True):
    """Remove the record `id`."""

    entity: EntityName
    id: int | str


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """Change that share of the records."""

    entity: EntityName
    percent: float


def data_routes(state: JsonApiState) -> list[web.RouteDef]:
    """Edit, add, remove, change-percent and records."""

    async def edit(request: web.Request) -> web.Response:
        order = await body_of(request, Edit)
        attempt(lambda: state.edit(order.entity, order.id, **fields_of(order.fields)))
        return json_of({"ok": True})

    async def add(request: web.Request) -> web.Response:
        order = await body_of(request, Addition)
        return json_of({"id": attempt(lambda: state.add(order.entity, **fields_of(order.fields)))})

    async def remove(request: web.Request) -> web.Response:
        order = await body_of(request, Removal)
        attempt(lambda: state.remove(order.entity, order.id))
        return json_of({"ok": True})

    async def change_percent(request: web.Request) -> web.Response:
        order = await body_of(request, Change)
        return json_of({"changed": state.change_percent(order.entity, order.percent)})

    async def records(request: web.Request) -> web.Response:
        for entity in ENTITIES:
            if entity == request.match_info["entity"]:
                return json_of(state.records(entity))
        raise web.HTTPNotFound(text="no such entity")

    return [
        web.post(f"{CONTROL}edit", edit),
        web.post(f"{CONTROL}add", add),
        web.post(f"{CONTROL}remove", remove),
        web.post(f"{CONTROL}change-percent", change_percent),
        web.get(f"{CONTROL}records/{{entity}}", records),
    ]
