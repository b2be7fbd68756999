"""The gateway's composition root."""

from services.gateway.auth import SecretTokenVerifier
from services.gateway.deps import GatewayDeps
from services.gateway.http_app import build_app
from services.gateway.service import GatewayService, listen
from services.gateway.settings import GatewaySettings
from shared.connector_sdk.registry import discover_specs
from shared.runtime.resources import Resources
from shared.sealing.keyring import SealingKeys

ROLE = "headrace_gateway"


def build(settings: GatewaySettings, resources: Resources) -> GatewayService:
    """Listens at once. Raises StartupError on a missing, default or short key and on a port in use."""
    secret = settings.jwt_secret.get_secret_value()
    resources.secrets.add(secret)
    database = resources.need_database()
    deps = GatewayDeps(
        database=database,
        bus=resources.bus,
        specs=discover_specs(),
        sealing=SealingKeys.parse(settings.seal_keys),
        verifier=SecretTokenVerifier(secret, settings.jwt_audience),
        clock=resources.clock,
    )
    return GatewayService(build_app(deps), listen(settings.gateway_host, settings.gateway_port), database)
