"""Finale as an application; README.md has the addresses."""

from aiohttp import web

from sandboxes.behaviour.control import control_routes
from sandboxes.finale.access import access
from sandboxes.finale.control import data_routes
from sandboxes.finale.graphql_api import GraphQL
from sandboxes.finale.reports import report
from sandboxes.finale.rest import Rest
from sandboxes.finale.state import FinaleState


def build_app(state: FinaleState) -> web.Application:
    """The application that serves this state; several may run in one process."""
    app = web.Application(middlewares=[access(state)], client_max_size=16 * 2**20)
    app.add_routes(control_routes(state.behaviour, state.reset_all_but_behaviour))
    app.add_routes(data_routes(state))

    async def read_report(request: web.Request) -> web.StreamResponse:
        return await report(state, request)

    app.router.add_route("*", f"/{state.account}/api/graphql", GraphQL(state).handle)
    app.router.add_route("*", f"/{state.account}/api/{{tail:.*}}", Rest(state).handle)
    app.router.add_get(f"/{state.account}/doc/report/{{kind}}/{{millis:\\d+}}/{{file}}", read_report)
    return app
