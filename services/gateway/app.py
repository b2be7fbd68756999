"""The gateway's composition root."""

from services.gateway.api_tokens import BearerVerifier
from services.gateway.deps import GatewayDeps
from services.gateway.http_app import build_app
from services.gateway.identity import TokenVerifier
from services.gateway.jwts import EitherTokenVerifier, JwksTokenVerifier, SecretTokenVerifier
from services.gateway.service import GatewayService, listen
from services.gateway.settings import GatewaySettings
from shared.connector_sdk.registry import discover_specs
from shared.errors import StartupError
from shared.http.egress import EgressPolicy
from shared.runtime.resources import Resources
from shared.sealing.keyring import SEAL_SETTING, SealingKeys
from shared.sealing.symmetric import SymmetricBox
from shared.storage.database import Database
from shared.storage.sealing_keys import foreign_names

ROLE = "headrace_gateway"


def build(settings: GatewaySettings, resources: Resources) -> GatewayService:
    """Listens at once. Raises StartupError on a missing, default or short key and on a port in use."""
    database = resources.need_database()
    sealing = SealingKeys.parse(settings.seal_keys)
    deps = GatewayDeps(
        database=database,
        bus=resources.bus,
        specs=discover_specs(),
        sealing=sealing,
        egress=_egress(settings),
        webhook_box=SymmetricBox.parse(settings.webhook_keys.get_secret_value()),
        verifier=BearerVerifier(_jwts(settings, resources), database, resources.clock),
        clock=resources.clock,
        allowed_origins=settings.allowed_origins,
        requests_per_minute=settings.requests_per_minute,
        tracing=resources.tracing,
        public_url=settings.public_url.rstrip("/"),
    )
    listener = listen(settings.gateway_host, settings.gateway_port)
    return GatewayService(build_app(deps), listener, database, lambda: check_seal_keys(database, sealing))


async def check_seal_keys(database: Database, sealing: SealingKeys) -> None:
    """Raises StartupError for a public half that is not the fetchers' key of that name: they could open nothing."""
    async with database.transaction() as conn:
        foreign = await foreign_names(conn, sealing.halves)
    if foreign:
        raise StartupError(
            f"{SEAL_SETTING}: {', '.join(foreign)} is not the public half of the key of that name",
            hint="Leave it to `headrace up`, which derives it from HEADRACE_MASTER_KEYS. A new key needs a new name.",
        )


def _jwts(settings: GatewaySettings, resources: Resources) -> TokenVerifier:
    by_secret, by_key = _by_secret(settings, resources), _by_key(settings, resources)
    if by_secret is not None and by_key is not None:
        return EitherTokenVerifier(by_secret, by_key)
    one = by_secret or by_key
    assert one is not None  # the settings hold one of the two
    return one


def _by_secret(settings: GatewaySettings, resources: Resources) -> TokenVerifier | None:
    if settings.jwt_secret is None:
        return None
    secret = settings.jwt_secret.get_secret_value()
    resources.secrets.add(secret)
    return SecretTokenVerifier(secret, settings.jwt_audience)


def _by_key(settings: GatewaySettings, resources: Resources) -> TokenVerifier | None:
    if settings.jwks_url is None:
        return None
    from services.gateway.key_set import KeySetFetcher  # noqa: PLC0415 - its HTTP client is slow to import

    try:
        fetch = KeySetFetcher(settings.jwks_url, resources.clock)
    except ValueError as error:
        raise StartupError(f"HEADRACE_JWKS_URL: {error}") from None
    return JwksTokenVerifier(fetch, settings.jwt_audience, resources.clock)


def _egress(settings: GatewaySettings) -> EgressPolicy:
    try:
        return EgressPolicy.parse(settings.egress_allow)
    except ValueError as error:
        raise StartupError(f"HEADRACE_EGRESS_ALLOW: {error}") from None
