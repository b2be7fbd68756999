"""Health, the front page, and the documentation: plain pages that load nothing from elsewhere."""

import asyncio
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from services.gateway.asking import bus_ready
from services.gateway.deps import Deps
from services.gateway.models import Readiness

router = APIRouter(include_in_schema=False)

READY_SECONDS = 3.0
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code{background:#f2f2f2;padding:.1em .3em}h3{margin:1.5rem 0 .2rem}dt{font-family:monospace}.verb{font-weight:700}"
)


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
    return _page(
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
    return _page("Headrace API", "".join(parts))


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


def _page(title: str, content: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{content}</body></html>"
    )
