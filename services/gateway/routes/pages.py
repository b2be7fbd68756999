"""Health, the front page, and the documentation: plain pages that load nothing from elsewhere."""

import asyncio
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from services.gateway.asking import bus_ready
from services.gateway.deps import Deps
from services.gateway.models import Readiness
from services.gateway.plain_page import page

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


@router.get("/")
async def front() -> HTMLResponse:
    """Where to go from here."""
    return page(
        "Headrace",
        '<p>This is the Headrace gateway. <a href="/docs">Documentation of the API</a>, '
        '<a href="/openapi.json">OpenAPI</a>, <a href="/healthz">health</a>, <a href="/readyz">readiness</a>.</p>',
    )


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
