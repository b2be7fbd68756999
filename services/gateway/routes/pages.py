"""Health, the front page, and the documentation: plain pages that load nothing from elsewhere."""

import asyncio
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from services.gateway.asking import bus_ready
from services.gateway.deps import Deps, GatewayDeps, sessions_of
from services.gateway.models import Readiness
from services.gateway.plain_page import page
from services.gateway.routes.session import MAX_CODE_CHARS, begin_session, identity_of_code
from shared.errors import PlatformAwayError

router = APIRouter(include_in_schema=False)

READY_SECONDS = 3.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The event loop turns."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(deps: Deps) -> JSONResponse:
    """Whether requests can be served: the database answers."""
    database, broker = await asyncio.gather(_database_ready(deps), bus_ready(deps))
    state = Readiness(status="ready" if database else "not_ready", database=database, broker=broker)
    return JSONResponse(state.model_dump(), 200 if database else 503)


async def _database_ready(deps: Deps) -> bool:
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await deps.database.ping()
    except TimeoutError:
        return False


@router.get("/", response_class=Response)
async def front(request: Request, deps: Deps) -> Response:
    """Where to go from here; with `?code=` of a one-time link, signed in and without the code in the address."""
    code = request.query_params.get("code")
    if code is not None:
        return await _signed_in(deps, code)
    try:
        session = await sessions_of(deps).of(request.headers.get("cookie"))
    except PlatformAwayError:
        return page("Headrace", "<p>The database is away. Load this page again in a moment.</p>", 503)
    who = "" if session is None else "<p>You are signed in in this browser.</p>"
    return page(
        "Headrace",
        f'{who}<p>This is the Headrace gateway. <a href="/docs">Documentation of the API</a>, '
        '<a href="/openapi.json">OpenAPI</a>, <a href="/healthz">health</a>, <a href="/readyz">readiness</a>.</p>',
    )


async def _signed_in(deps: GatewayDeps, code: str) -> Response:
    try:
        identity = await identity_of_code(deps, code) if 0 < len(code) <= MAX_CODE_CHARS else None
    except PlatformAwayError:
        return page("Not signed in", "<p>The database is away. Open the link again in a moment.</p>", 503)
    if identity is None:
        hint = "A link is good once and for ten minutes; <code>headrace up</code> prints a new one when it starts."
        return page("Not signed in", f"<p>This link was used already, or is too old. {hint}</p>", 401)
    answer = RedirectResponse("/", 303)
    begin_session(deps, identity, answer)
    return answer


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The routes, from the OpenAPI document."""
    schema: dict[str, Any] = request.app.openapi()
    parts = [
        "<p>Send <code>Authorization: Bearer &lt;token&gt;</code>.</p>",
        '<p>The whole contract: <a href="/openapi.json">OpenAPI</a>.</p>',
    ]
    for path, operations in schema["paths"].items():
        for verb, operation in operations.items():
            parts.append(_operation(verb, path, operation))
    return page("Headrace API", "".join(parts))


def _operation(verb: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<dt>{escape(each['name'])} ({escape(each['in'])})</dt><dd>{escape(each.get('description', ''))}</dd>"
        for each in operation.get("parameters", ())
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    shape = _shape(body)
    takes = f"<p>Body: <code>{escape(shape)}</code></p>" if shape else ""
    return (
        f'<h3><span class="verb">{escape(verb.upper())}</span> <code>{escape(path)}</code></h3>'
        f"<p>{escape(operation.get('description', ''))}</p>{takes}<dl>{parameters}</dl>"
    )


def _shape(schema: dict[str, Any]) -> str:
    """The name of a body's model."""
    choices = [schema, *schema.get("anyOf", ())]
    return next((each["$ref"].rsplit("/", 1)[-1] for each in choices if "$ref" in each), "")
