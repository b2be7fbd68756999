"""The HTTP application: routes, errors, guards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from services.gateway import problems
from services.gateway.auth import Authentication
from services.gateway.coalescing import Coalescer
from services.gateway.deps import GatewayDeps, sessions_of
from services.gateway.document import DocumentedApp
from services.gateway.guards import BodyLimit, HeadRequests, SecurityHeaders
from services.gateway.pacing import RequestPace
from services.gateway.problems import ProblemBody, UnexpectedErrors
from services.gateway.routes import (
    audit,
    connectors,
    dead_letters,
    mappings,
    oauth,
    operations,
    pages,
    quarantine,
    rows,
    runs,
    session,
    source_actions,
    sources,
    tokens,
    webhooks,
)
from services.gateway.run_watch import RunWatch
from services.gateway.tracing import TracedRequests
from services.gateway.webhook_intake import WebhookIntake
from shared.observability.tracing import NoTracing


def build_app(deps: GatewayDeps) -> FastAPI:
    """The application; its lifespan runs the listener of the event streams."""
    watch = RunWatch(deps.bus, deps.clock)
    coalescer = Coalescer(deps)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        listener = asyncio.create_task(watch.listen(), name="run-watch")
        try:
            yield
        finally:
            watch.close()
            await coalescer.close()
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    app = DocumentedApp(
        title="Headrace",
        version=_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses={"4XX": {"model": ProblemBody, "description": "A problem (RFC 9457)."}},
    )
    app.state.deps = deps
    app.state.run_watch = watch
    app.raw = webhooks.OPERATIONS
    app.router.routes += webhooks.posts(WebhookIntake(deps, coalescer))
    for module in (
        connectors,
        sources,
        source_actions,
        runs,
        rows,
        audit,
        mappings,
        quarantine,
        tokens,
        webhooks,
        dead_letters,
        session,
        operations,
        oauth,
        pages,
    ):
        app.include_router(module.router)
    problems.install(app)
    # The last added is the outermost.
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestPace, per_minute=deps.requests_per_minute, clock=deps.clock)
    app.add_middleware(Authentication, verifier=deps.verifier, sessions=sessions_of(deps))
    if deps.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=deps.allowed_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Location", "Retry-After", "Idempotency-Replayed"],
            max_age=600,
        )
    app.add_middleware(HeadRequests)
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(SecurityHeaders)
    if not isinstance(deps.tracing, NoTracing):
        app.add_middleware(TracedRequests, tracing=deps.tracing)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0] if route.tags else 'pages'}_{route.name}"


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:  # run from a source tree
        return "0"
