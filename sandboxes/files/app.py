"""The file server as an application; README.md has the routes."""

from aiohttp import web

from sandboxes.behaviour.control import control_routes, json_of
from sandboxes.behaviour.server import CONTROL, behave
from sandboxes.behaviour.validators import unchanged, validators
from sandboxes.files.state import FilesState
from sandboxes.files.variants import BadVariantError, variant

_TYPES = {"csv": "text/csv", "json": "application/json"}


def build_app(state: FilesState) -> web.Application:
    """The application that serves this state; several may run in one process."""

    async def get(request: web.Request) -> web.StreamResponse:
        return _answer(state, request)

    async def put(request: web.Request) -> web.StreamResponse:
        state.put(request.match_info["name"], await request.read())
        return json_of({"ok": True})

    async def remove(request: web.Request) -> web.StreamResponse:
        if request.match_info["name"] not in state.files:
            raise web.HTTPNotFound(text="no such file")
        state.remove(request.match_info["name"])
        return json_of({"ok": True})

    app = web.Application(middlewares=[behave(state.behaviour)], client_max_size=256 * 2**20)
    app.add_routes(control_routes(state.behaviour, state.reset_data))
    app.router.add_put(f"{CONTROL}files/{{name}}", put)
    app.router.add_delete(f"{CONTROL}files/{{name}}", remove)
    app.router.add_get("/{name}", get)
    return app


def _answer(state: FilesState, request: web.Request) -> web.Response:
    file = state.files.get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound(text="no such file")
    try:
        found = variant(file, request.query)
    except BadVariantError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    mode = state.behaviour.validators or "strong"
    headers = validators(request, mode, found.etag, file.modified)
    if unchanged(request, mode, found.etag, file.modified):
        return web.Response(status=304, headers=headers)
    if found.encoding is not None:
        headers["Content-Encoding"] = found.encoding
    kind = _TYPES.get(request.match_info["name"].rpartition(".")[2], "application/octet-stream")
    return web.Response(body=found.body, headers=headers, content_type=kind, charset=found.charset)
