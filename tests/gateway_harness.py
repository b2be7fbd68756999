"""A real gateway on a free port: real Postgres, the in-process bus, plain HTTP from the standard library."""

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import jwt

from services.gateway.api_tokens import BearerVerifier
from services.gateway.deps import GatewayDeps
from services.gateway.http_app import build_app
from services.gateway.identity import TokenVerifier
from services.gateway.jwts import SecretTokenVerifier
from services.gateway.service import GatewayService, listen
from shared.clock import SystemClock
from shared.connector_sdk.registry import discover_specs
from shared.http.egress import EgressPolicy
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Bus
from shared.observability.tracing import NoTracing, Tracing
from shared.sealing.keyring import KeyRing, generate_key
from shared.sealing.symmetric import derive_webhook_keys
from shared.storage.database import open_database

SECRET = "a test's secret, long enough for HS512 too, since that is tried as well: 0123456789"
CONFIG = {"entities": {"inventory": {"url": "https://stock.example.com/items", "id_path": "id"}}}
TWO_ENTITIES = {
    "entities": {
        "inventory": {"url": "https://stock.example.com/items", "id_path": "id"},
        "vendors": {"url": "https://stock.example.com/vendors", "id_path": "id"},
    }
}
CREDENTIALS = {"type": "bearer", "token": "canary-secret-token-7f3a"}


def token(user_id: UUID, *, secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token as Supabase issues it; a claim of None is left out."""
    payload = {
        "sub": str(user_id),
        "role": "authenticated",
        "aud": "authenticated",
        "exp": int(time.time()) + 600,
    } | claims
    kept = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(kept, None if algorithm == "none" else secret, algorithm=algorithm)


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class User:
    """Somebody who calls."""

    gateway: "Gateway"
    id: UUID = field(default_factory=uuid4)
    claims: Mapping[str, Any] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        bearer = {"Authorization": f"Bearer {token(self.id, **self.claims)}"}
        return await self.gateway.call(method, path, body, bearer | names)

    async def get(self, path: str) -> Answer:
        return await self.call("GET", path)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.call("POST", path, body, **headers)

    async def add_source(self, **members: Any) -> dict[str, Any]:
        asked = {
            "source_type": "json_api",
            "display_name": "Stock",
            "config": CONFIG,
            "credentials": CREDENTIALS,
        } | members
        answer = await self.post("/api/sources", asked)
        assert answer.status == 201, answer.text
        return dict(answer.body)


@dataclass
class Gateway:
    """The running gateway and what lies below it."""

    url: str
    deps: GatewayDeps
    bus: MemoryBus
    admin: "asyncpg.Pool[asyncpg.Record]"
    ring: KeyRing
    answers: list[Answer] = field(default_factory=list)

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        answer = await asyncio.to_thread(self._call, method, path, body, dict(headers or {}))
        self.answers.append(answer)
        return answer

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            if data is not None:
                headers = {"Content-Type": "application/json"} | headers
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)

    def user(self) -> User:
        return User(self)

    def administrator(self) -> User:
        return User(self, claims={"app_metadata": {"headrace_role": "admin"}})


@asynccontextmanager
async def running_gateway(
    database_url: str,
    *,
    probe_timeout: float = 20.0,
    jwts: TokenVerifier | None = None,
    allowed_origins: Sequence[str] = (),
    requests_per_minute: int = 100_000,
    bus: Bus | None = None,
    ring: KeyRing | None = None,
    egress_allow: str = "127.0.0.1:9999",
    tracing: Tracing | None = None,
) -> AsyncIterator[Gateway]:
    """Serves until the context ends, which checks that it ends in time. A `bus` that is given stays open."""
    own = MemoryBus()
    bus, ring = bus or own, ring or KeyRing.parse(generate_key("test"))
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=2) as admin,
        open_database(database_url, role="headrace_gateway", max_size=8) as database,
    ):
        deps = GatewayDeps(
            database=database,
            bus=bus,
            specs=discover_specs(),
            sealing=ring.public(),
            webhook_box=derive_webhook_keys(ring),
            egress=EgressPolicy.parse(egress_allow),
            verifier=BearerVerifier(jwts or SecretTokenVerifier(SECRET, "authenticated"), database, SystemClock()),
            clock=SystemClock(),
            probe_timeout=probe_timeout,
            allowed_origins=allowed_origins,
            requests_per_minute=requests_per_minute,
            tracing=tracing or NoTracing(),
        )
        service = GatewayService(build_app(deps), listen("127.0.0.1", 0), database)
        stop = asyncio.Event()
        serving = asyncio.create_task(service.run(stop))
        try:
            yield Gateway(service.url, deps, own, admin, ring)
        finally:
            stop.set()
            async with asyncio.timeout(5):
                await serving
            await own.close()
