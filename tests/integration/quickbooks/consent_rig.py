"""A gateway beside the pipeline, a QuickBooks stand-in with its consent page, and browsers that go between them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import aiohttp
import jwt
from company_rig import UNLIMITED, config
from yarl import URL

from pipeline import Pipeline
from sandboxes.quickbooks.app import build_app as build_company
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.serving import running
from services.gateway.api_tokens import BearerVerifier
from services.gateway.deps import GatewayDeps
from services.gateway.http_app import build_app
from services.gateway.jwts import SecretTokenVerifier
from services.gateway.service import GatewayService, listen
from shared.clock import SystemClock
from shared.connector_sdk.registry import discover_specs
from shared.contracts.ids import SourceId
from shared.http.egress import EgressPolicy
from shared.sealing.symmetric import derive_webhook_keys

SECRET = "a test's secret of enough characters: 0123456789"


@dataclass
class Page:
    """What a browser got."""

    status: int
    headers: Any
    text: str

    @property
    def location(self) -> str:
        return str(self.headers["Location"])


@dataclass
class Browser:
    """One person's browser: it keeps cookies, and follows no redirect by itself."""

    rig: "ConsentRig"
    user_id: UUID
    http: aiohttp.ClientSession

    @property
    def bearer(self) -> dict[str, str]:
        claims = {"sub": str(self.user_id), "role": "authenticated", "aud": "authenticated"}
        text = jwt.encode({**claims, "exp": int(time.time()) + 600}, SECRET, algorithm="HS256")
        return {"Authorization": f"Bearer {text}"}

    async def sign_in(self) -> None:
        async with self.http.post(f"{self.rig.gateway}/api/session", headers=self.bearer) as answer:
            assert answer.status == 200

    async def get(self, url: str, **headers: str) -> Page:
        async with self.http.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as answer:
            page = Page(answer.status, answer.headers, await answer.text())
        self.rig.pages.append(page)
        return page

    async def start(self, source: SourceId | UUID, **headers: str) -> Page:
        return await self.get(f"{self.rig.gateway}/oauth/quickbooks/start?source_id={source}", **headers)

    async def decide(self, consent_page: str, *, realm: str = DEFAULT_REALM, decision: str = "connect") -> str:
        """Open the vendor's page and press a button: where the vendor sends the browser then."""
        assert (await self.get(consent_page)).status == 200
        form = {name: values[0] for name, values in parse_qs(urlsplit(consent_page).query).items()}
        form |= {"realm": realm, "decision": decision}
        page = f"{self.rig.company}/connect/oauth2"
        async with self.http.post(page, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            return answer.headers["Location"]

    async def connect(self, source: SourceId, **choices: Any) -> Page:
        """The whole way there and back, in a session."""
        await self.sign_in()
        begun = await self.start(source)
        assert begun.status == 302, begun.text
        return await self.get(await self.decide(begun.location, **choices))


@dataclass
class ConsentRig:
    """Everything that takes part."""

    pipeline: Pipeline
    state: QuickBooksState
    company: str
    gateway: str
    pages: list[Page] = field(default_factory=list)

    async def add_source(self, *, client_secret: str = "sandbox-secret", **changes: Any) -> SourceId:
        """One that nobody has consented to."""
        settings = config(self.company, **changes)
        del settings["realm_id"]
        return await self.pipeline.add_source(
            settings, {"client_secret": client_secret}, source_type="quickbooks", credentials_set=["client_secret"]
        )

    @asynccontextmanager
    async def browser(self, user_id: UUID | None = None) -> AsyncIterator[Browser]:
        """Of the pipeline's tenant, or of another."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            yield Browser(self, user_id or self.pipeline.user_id, http)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Browser]:
        async with self.browser(uuid4()) as browser:
            await browser.sign_in()
            yield browser

    async def source(self, source: SourceId) -> dict[str, Any]:
        row = await self.pipeline.admin.fetchrow(
            "select config, credentials_set, credentials::text as box from external_data_sources where id = $1", source
        )
        assert row is not None
        return dict(row)

    def secrets(self) -> list[str]:
        """Refresh tokens that the vendor gave out."""
        return [value for grant in self.state.tokens.grants for value in grant.values]


@asynccontextmanager
async def consent_rig(pipeline: Pipeline, *, egress_allow: str = "127.0.0.0/8") -> AsyncIterator[ConsentRig]:
    """Serve both until the context ends; no page that was shown may hold a secret."""
    database, clock = pipeline.databases["gateway"], SystemClock()
    deps = GatewayDeps(
        database=database,
        bus=pipeline.bus,
        specs=discover_specs(),
        sealing=pipeline.ring.public(),
        egress=EgressPolicy.parse(egress_allow),
        webhook_box=derive_webhook_keys(pipeline.ring),
        verifier=BearerVerifier(SecretTokenVerifier(SECRET, "authenticated"), database, clock),
        clock=clock,
        probe_timeout=30.0,
    )
    state = QuickBooksState(switches=Switches(**UNLIMITED))
    async with running(build_company(state)) as company, served(deps) as gateway:
        rig = ConsentRig(pipeline, state, company, gateway)
        yield rig
    shown = "".join(f"{page.headers}{page.text}" for page in rig.pages)
    assert "sandbox-secret" not in shown
    assert [secret for secret in rig.secrets() if secret in shown] == []


@asynccontextmanager
async def served(deps: GatewayDeps) -> AsyncIterator[str]:
    """The gateway on a free port of the loopback."""
    service = GatewayService(build_app(deps), listen("127.0.0.1", 0), deps.database)
    stop = asyncio.Event()
    serving = asyncio.create_task(service.run(stop))
    try:
        yield service.url
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await serving
