"""Opens a source for one step: the only place where sealed credentials become plain, and only while it is needed."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from services.fetcher.budget import SpentBudget, StepBudget, budgets_of, step_budget
from services.fetcher.metering import CallMeter
from services.fetcher.month_meter import meter_of
from shared.clock import Clock
from shared.connector_sdk.access import Access, TokenAccess
from shared.connector_sdk.caching import CacheEvent, StepCache
from shared.connector_sdk.credentials import Credentials, Secrets, apply, canonical, credentials_set
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.oauth import OAuthCredentials, OAuthGrant, reconnect_hint
from shared.connector_sdk.protocol import Connector, OnHeaders, Request, Response, Source, UnevenSource
from shared.connector_sdk.registry import Registry
from shared.connector_sdk.spec import ConnectorSpec, RateLimit
from shared.connector_sdk.spool import SpoolSpace
from shared.connector_sdk.token_endpoint import redeem
from shared.connector_sdk.token_keeper import TokenKeeper
from shared.contracts.ids import Entity, SourceId
from shared.contracts.messages import Cursor, encode_json
from shared.coordination.gate import SlotGate
from shared.coordination.ports import ResponseCache, Shelf
from shared.errors import AuthenticationError, ConfigurationError, EgressRefusedError, UnusableBodyError
from shared.http.client import HttpClient
from shared.http.egress import HINT
from shared.observability.secrets import SecretRegistry
from shared.sealing.boxes import Context
from shared.sealing.fingerprints import FingerprintKey
from shared.sealing.keyring import KeyRing
from shared.storage.cache_rules import CacheRule
from shared.storage.consents import SealedCode
from shared.storage.database import Database
from shared.storage.sealed_sources import SealedSource
from shared.storage.sources import SealedCredentials

_PLAIN = TypeAdapter(dict[str, Any])


class NoCalls:
    """A client for asking a source about itself: planning calls nobody."""

    async def send(self, request: Request) -> Response:
        """Refuse."""
        raise AssertionError(f"planning must not call {request.method}")

    async def stream(
        self,
        request: Request,
        *,
        on_headers: OnHeaders | None = None,  # noqa: ARG002 - the port's signature
    ) -> AsyncGenerator[bytes, None]:
        """Refuse."""
        await self.send(request)
        yield b""

    @property
    def spool(self) -> SpoolSpace:
        """Refuse."""
        raise AssertionError("planning must not read")


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that can call, for one step."""

    source: Source
    client: MeteredClient


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """The response cache as the fetcher has it."""

    store: ResponseCache
    clock: Clock
    told: Callable[[CacheEvent], None]


def validated(adapter: TypeAdapter[Any], value: Any, what: str) -> Any:
    """`value` through the connector's own model. ConfigurationError names the field, never its content."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or what
        raise ConfigurationError(f"{what}: {place}: {first['msg']}", hint=f"Correct the source's {what}.") from None


class SourceOpener:
    """Everything it takes to call a vendor on behalf of a source."""

    def __init__(
        self,
        registry: Registry,
        ring: KeyRing,
        secrets: SecretRegistry,
        http: HttpClient,
        gate: SlotGate,
        db: Database,
        keeper: TokenKeeper,
        spool: SpoolSpace,
        meter: CallMeter,
        answers: KeptAnswers | None,
    ) -> None:
        """`answers` None: none are kept."""
        self._registry = registry
        self._ring = ring
        self._fingerprints = FingerprintKey(ring)
        self._secrets = secrets
        self._http = http
        self._gate = gate
        self._db = db
        self._keeper = keeper
        self._spool = spool
        self._meter = meter
        self._answers = answers

    def connector(self, source_type: str) -> Connector:
        """Raises ConfigurationError for an unknown type."""
        return self._registry.get(source_type)

    def unconnected(self, source_type: str, config: Mapping[str, Any]) -> Source:
        """The source as it describes itself, without credentials and unable to call."""
        connector = self.connector(source_type)
        validated(connector.spec.config, config, "config")
        return connector.open(config, NoCalls())

    @asynccontextmanager
    async def open(
        self,
        sealed: SealedSource,
        entity: Entity,
        *,
        cursor: Cursor = None,
        slot: str | None = None,
        calls: Mapping[str, int] | None = None,
        parks: bool = True,
    ) -> AsyncIterator[OpenSource]:
        """Reserve the calls of one step and hold the plain credentials until it is over. `calls`: those of another step
        than to read the page at `cursor`. `parks` False: whoever asked is told of a ParkError instead of coming back
        with its slot, so it has none.

        Raises ParkError (with the slot to come back with), SealError, ConfigurationError, AuthenticationError (nobody
        has consented yet), PlatformAwayError.
        """
        connector = self.connector(sealed.source_type)
        validated(connector.spec.config, sealed.config, "config")
        self._check_origins(connector.spec, sealed.config)
        plain = self._plain(connector, sealed)
        with self._secrets.guarding(_texts(plain)):
            credentials = validated(connector.spec.credentials, plain, "credentials")
            access = self._access(connector.spec, sealed, credentials)
            fingerprint = self._fingerprints.digest(encode_json(plain))
            account = f"{sealed.source_type}|{connector.spec.account(sealed.config, fingerprint)}"
            if isinstance(credentials, Credentials) and apply(credentials) == Secrets():
                account += f"|{sealed.user_id}"  # nobody's account: one tenant's limit must not hold another's calls
            own = RateLimit.model_validate(sealed.rate_limit)
            budgets = budgets_of(connector.spec.rate_limits, own, account, str(sealed.box_id))
            if calls is None:
                calls = _calls(connector.open(sealed.config, NoCalls()), entity, cursor)
            rule = None if self._answers is None else sealed.cache
            use = "never" if rule is None else rule.use
            meter = meter_of(connector.spec, sealed, account)
            async with step_budget(
                self._gate, self._db, budgets, calls, slot, use=use, meter=meter, parks=parks
            ) as budget:
                with access as secrets:
                    http = self._http.watched(self._meter.of(sealed.source_type))
                    cache = self._cache(sealed, rule, fingerprint, budget)
                    client = MeteredClient(http, secrets, budget, cache, spool=self._spool)
                    yield OpenSource(connector.open(sealed.config, client), client)

    async def redeem(self, code: SealedCode) -> SealedCredentials:
        """The source's credentials with the refresh token that the code is good for, sealed again.

        Raises what `token_endpoint.redeem` does, SealError and ConfigurationError.
        """
        sealed = code.source
        connector = self.connector(sealed.source_type)
        spec = connector.spec
        validated(spec.config, sealed.config, "config")
        self._check_origins(spec, sealed.config)
        if spec.oauth is None:
            raise ConfigurationError(f"{spec.title} has no consents")
        app, origins = spec.oauth(sealed.config), spec.origins(sealed.config)
        plain = self._plain(connector, sealed)
        text = self._ring.open(code.box, Context(sealed.user_id, SourceId(code.id), origins)).decode()
        with self._secrets.guarding([*_texts(plain), text]):
            credentials = validated(spec.credentials, plain, "credentials")
            assert isinstance(credentials, OAuthCredentials)
            secret = credentials.client_secret.get_secret_value()
            reply = await redeem(self._http, app, secret, text, code.redirect_uri)
            if reply.refresh_token is None:
                raise UnusableBodyError(f"{app.title} signed us in without a refresh token")
            renewed = {**plain, "refresh_token": reply.refresh_token}
            box = self._ring.public().seal(canonical(renewed), Context(sealed.user_id, sealed.box_id, origins))
        return SealedCredentials({**box}, credentials_set(renewed))

    def _access(
        self, spec: ConnectorSpec, sealed: SealedSource, credentials: Credentials | OAuthCredentials
    ) -> AbstractContextManager[Secrets | Access]:
        if spec.oauth is None:
            assert isinstance(credentials, Credentials)
            return nullcontext(apply(credentials))
        assert isinstance(credentials, OAuthCredentials)
        app = spec.oauth(sealed.config)
        if not app.account or credentials.refresh_token is None:
            raise AuthenticationError(f"the source is not connected to {app.title} yet", hint=reconnect_hint(app.title))
        # Not by the deployment's own key: a key that leaves the ring must not cut a consent off from its tokens. What a
        # vendor made at random cannot be guessed from its hash.
        first = credentials.refresh_token.get_secret_value()
        origins = spec.origins(sealed.config)
        name = [str(sealed.user_id), sealed.source_type, app.client_id, app.account, *origins, first]
        grant = OAuthGrant(
            id=UUID(bytes=blake2b(encode_json(name), digest_size=16, person=b"headrace/grant").digest()),
            user_id=sealed.user_id,
            used_by=sealed.box_id,
            app=app,
            client_secret=credentials.client_secret.get_secret_value(),
            first_refresh_token=first,
            origins=origins,
        )
        return TokenAccess(self._keeper, grant, self._secrets)

    def _cache(
        self, sealed: SealedSource, rule: CacheRule | None, fingerprint: str, budget: StepBudget | SpentBudget
    ) -> StepCache | None:
        if rule is None or self._answers is None:
            return None
        shelf = Shelf(sealed.source_type, str(sealed.user_id), str(rule.source_id), rule.secret.bytes)
        return StepCache(
            self._answers.store,
            rule,
            shelf,
            fingerprint,
            self._fingerprints.digest,
            self._answers.clock,
            self._answers.told,
            uses=budget.uses_cache,
        )

    def _check_origins(self, spec: ConnectorSpec, config: Mapping[str, Any]) -> None:
        """A vendor's credentials go to the vendor, or where the operator says."""
        if spec.vendor_origins is None:
            return
        for origin in spec.origins(config):
            if origin not in spec.vendor_origins and not self._http.policy.lists(origin):
                raise EgressRefusedError(f"{origin} is not an address of {spec.title}, and not allowed", hint=HINT)

    def _plain(self, connector: Connector, sealed: SealedSource) -> dict[str, Any]:
        if sealed.credentials is None:
            raise ConfigurationError("the source has no credentials", hint="Enter the credentials again.")
        context = Context(sealed.user_id, sealed.box_id, connector.spec.origins(sealed.config))
        return _PLAIN.validate_json(self._ring.open(sealed.credentials, context))


def _calls(source: Source, entity: Entity, cursor: Cursor) -> Mapping[str, int]:
    return source.calls_of_page(entity, cursor) if isinstance(source, UnevenSource) else source.calls_per_page(entity)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    return [value] if isinstance(value, str) else []
