"""The QuickBooks sandbox as an application; README.md has the routes."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from sandboxes.behaviour.control import control_routes
from sandboxes.quickbooks.api import CompanyApi
from sandboxes.quickbooks.control import own_routes
from sandboxes.quickbooks.server import behave
from sandboxes.quickbooks.state import QuickBooksState


def build_app(state: QuickBooksState) -> web.Application:
    """The application that serves this state; several may run in one process."""
    app = web.Application(middlewares=[behave(state)], client_max_size=8 * 2**20)
    # of the shared control paths, limits and credentials have no meaning here: the switches have their own
    shared = [
        route
        for route in control_routes(state.behaviour, state.reset_own)
        if not route.path.endswith(("limits", "auth"))
    ]
    app.add_routes([*shared, *own_routes(state), *state.sign_in.routes(), *CompanyApi(state).routes()])

    async def webhooks(_app: web.Application) -> AsyncIterator[None]:
        sender = asyncio.create_task(state.webhooks.run())
        yield
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)

    app.cleanup_ctx.append(webhooks)
    app.on_shutdown.append(state.sign_in.close)
    return app
