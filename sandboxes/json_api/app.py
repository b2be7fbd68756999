"""The JSON API as an application; README.md has the routes."""

from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

from sandboxes.behaviour.answers import PAGE_LOOP
from sandboxes.behaviour.control import control_routes
from sandboxes.behaviour.server import behave
from sandboxes.behaviour.validators import etag_of, unchanged, validators
from sandboxes.data.documents import EntityName
from sandboxes.json_api.control import data_routes
from sandboxes.json_api.paging import STYLES, BadParameterError, Call, Style, page, style_of
from sandboxes.json_api.state import ENTITIES, JsonApiState


def build_app(state: JsonApiState) -> web.Application:
    """The application that serves this state; several may run in one process."""
    app = web.Application(middlewares=[behave(state.behaviour)], client_max_size=64 * 2**20)
    app.add_routes(control_routes(state.behaviour, state.reset_data))
    app.add_routes(data_routes(state))
    for entity in ENTITIES:
        app.router.add_get(f"/{entity}", _collection(state, entity, None))
        app.router.add_get(f"/{entity}/{{key}}", _single(state, entity))
        for style in STYLES:
            app.router.add_get(f"/{style}/{entity}", _collection(state, entity, style))
    return app


def _collection(state: JsonApiState, entity: EntityName, style: Style | None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        query = request.query
        try:
            found = page(
                state.tables[entity],
                Call(
                    path=request.path,
                    origin=f"{request.scheme}://{request.host}",
                    query=query,
                    style=style or style_of(query),
                    max_size=state.max_size,
                    loop=cast(bool, request.get(PAGE_LOOP, False)),
                ),
            )
        except BadParameterError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        mode, etag = state.behaviour.validators or "none", etag_of(found.body)
        headers = validators(request, mode, etag, None) | ({} if found.link is None else {"Link": found.link})
        if unchanged(request, mode, etag, None):
            return web.Response(status=304, headers=headers)
        return web.Response(body=found.body, headers=headers, content_type="application/json", charset="utf-8")

    return handler


def _single(state: JsonApiState, entity: EntityName) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        table = state.tables[entity]
        try:
            row = table.get(table.parse_key(request.match_info["key"]))
        except ValueError:
            row = None
        if row is None:
            raise web.HTTPNotFound(text="no such record")
        return web.Response(body=row.text, content_type="application/json", charset="utf-8")

    return handler
