"""A QuickBooks sandbox with a caller that is already connected."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp

from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.clock import MovableClock
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.serving import running

COMPANY = f"/v3/company/{DEFAULT_REALM}"
START = datetime(2026, 5, 20, 17, 3, 11, tzinfo=UTC)
UNLIMITED = Switches(realm_limits=(), app_limits=(), batch_realm_limits=(), batch_app_limits=())


class Rig:
    """Calls the company as its one connected app does."""

    def __init__(self, state: QuickBooksState, session: aiohttp.ClientSession, url: str) -> None:
        self.state = state
        self.session = session
        self.url = url
        self.tokens: dict[str, Any] = state.grant()

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}", "Accept": "application/json"}

    async def call(self, method: str, path: str, body: Any = None, **parameters: str) -> tuple[int, Any]:
        """Status and JSON; every number that is no integer is a Decimal."""
        data = body.encode() if isinstance(body, str) else None if body is None else dumps(body)
        kind = {"Content-Type": "application/text" if isinstance(body, str) else "application/json"}
        parameters = {"minorversion": "75", **parameters}
        async with self.session.request(
            method, COMPANY + path, data=data, params=parameters, headers={**self.headers(), **kind}
        ) as response:
            return response.status, json.loads(await response.read(), parse_float=Decimal)

    async def query(self, statement: str) -> dict[str, Any]:
        status, body = await self.call("POST", "/query", statement)
        assert status == 200, body
        found: dict[str, Any] = body["QueryResponse"]
        return found

    async def refused(self, method: str, path: str, body: Any = None, **parameters: str) -> str:
        """The code of the fault of a call that must fail."""
        status, answer = await self.call(method, path, body, **parameters)
        assert status == 400, answer
        return str(answer["Fault"]["Error"][0]["code"])

    async def save(self, entity: str, body: dict[str, Any], **parameters: str) -> dict[str, Any]:
        status, answer = await self.call("POST", f"/{entity.lower()}", body, **parameters)
        assert status == 200, answer
        found: dict[str, Any] = answer[entity]
        return found

    async def token(self, form: dict[str, str], **headers: str) -> tuple[int, Any]:
        """A request at the token endpoint with the app's keys."""
        auth = basic("sandbox-client", "sandbox-secret")
        headers = {"Authorization": auth, "Accept": "application/json", **headers}
        async with self.session.post("/oauth2/v1/tokens/bearer", data=form, headers=headers) as response:
            body = await response.read()
            return response.status, json.loads(body) if response.content_type == "application/json" else body

    async def refresh(self, token: str | None = None, **headers: str) -> tuple[int, Any]:
        value = self.tokens["refresh_token"] if token is None else token
        return await self.token({"grant_type": "refresh_token", "refresh_token": value}, **headers)


def basic(client_id: str, client_secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


def dumps(value: Any) -> bytes:
    return json.dumps(value, default=float).encode()


@asynccontextmanager
async def rig(size: Size | None = None, switches: Switches = UNLIMITED, *, still: bool = True) -> AsyncIterator[Rig]:
    """A running sandbox whose clock stands still at `START` (or runs), by default without limits."""
    state = QuickBooksState(size, clock=MovableClock(START if still else None), switches=switches)
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        yield Rig(state, session, url)
