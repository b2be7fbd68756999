"""What each service's process is handed of the environment: the settings it reads, and no one else's secrets."""

from collections.abc import Mapping
from typing import Final

from services.cli.living import setting_problem
from services.cli.scaling import ServiceName
from services.fetcher.settings import FetcherSettings
from services.gateway.settings import GatewaySettings
from services.scheduler.settings import SchedulerSettings
from shared.config import PREFIX, SettingsModel, load
from shared.errors import StartupError
from shared.http.egress import EgressPolicy
from shared.runtime.main import ProcessSettings
from shared.runtime.resources import PlatformSettings
from shared.sealing.keyring import SEAL_SETTING, KeyRing, SealingKeys
from shared.sealing.symmetric import WEBHOOK_SETTING, SymmetricBox, derive_webhook_keys

READS: Final[Mapping[ServiceName, tuple[type[SettingsModel], ...]]] = {
    "gateway": (ProcessSettings, PlatformSettings, GatewaySettings),
    "scheduler": (ProcessSettings, PlatformSettings, SchedulerSettings),
    "fetcher": (ProcessSettings, PlatformSettings, FetcherSettings),
    "transformer": (ProcessSettings, PlatformSettings),
    "writer": (ProcessSettings, PlatformSettings),
}
"""The settings of each service's process; docs/operations.md is compared with it."""
_WITHHELD: Final[Mapping[ServiceName, frozenset[str]]] = {
    "transformer": frozenset({"HEADRACE_DATABASE_URL", "HEADRACE_REDIS_URL"})
}
"""The transformer has a queue in and a queue out, nothing else."""


def variables_of(model: type[SettingsModel]) -> list[str]:
    """The names of the environment variables that a settings model reads."""
    return [PREFIX + (field.alias or name).upper() for name, field in model.model_fields.items()]


def completed(environ: Mapping[str, str], *, jwt_secret: str | None = None) -> dict[str, str]:
    """The environment of a whole deployment: what can be derived is derived, all of it is checked.

    `jwt_secret` is used when the environment names none. Raises StartupError naming the setting that is wrong.
    """
    variables = dict(environ)
    if jwt_secret is not None and not variables.get("HEADRACE_JWT_SECRET"):
        variables["HEADRACE_JWT_SECRET"] = jwt_secret
    platform = load(PlatformSettings, variables)
    for name in ("database_url", "amqp_url", "redis_url"):
        platform.require(name)
    ring = check_keys(variables)
    variables |= _derived(ring, variables)
    check_gateway(variables)
    load(SchedulerSettings, variables)
    load(ProcessSettings, variables)
    return variables


def check_keys(environ: Mapping[str, str]) -> KeyRing:
    """The fetcher's keys. Raises StartupError when its settings, or the gateway's public halves, are wrong."""
    settings = load(FetcherSettings, environ)
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    current = SealingKeys.parse(_derived(ring, environ)[SEAL_SETTING]).current_kid
    if current not in ring.kids:
        raise StartupError(
            f"{SEAL_SETTING}: the fetcher has no private half of its first key",
            hint="Leave it out: `headrace up` derives it from HEADRACE_MASTER_KEYS.",
        )
    try:
        EgressPolicy.parse(settings.egress_allow)
    except ValueError as error:
        raise setting_problem("HEADRACE_EGRESS_ALLOW", error) from None
    return ring


def check_gateway(environ: Mapping[str, str]) -> GatewaySettings:
    """Raises StartupError when the gateway would not start with them."""
    variables = dict(environ)
    if not variables.get(SEAL_SETTING) or not variables.get(WEBHOOK_SETTING):
        variables |= _derived(check_keys(environ), environ)
    if webhook_keys := variables.get(WEBHOOK_SETTING):
        SymmetricBox.parse(webhook_keys)
    return load(GatewaySettings, variables)


def _derived(ring: KeyRing, environ: Mapping[str, str]) -> dict[str, str]:
    """What the gateway needs: as the environment says, else made from the fetcher's keys."""
    return {
        SEAL_SETTING: environ.get(SEAL_SETTING) or ring.public().to_text(),
        WEBHOOK_SETTING: environ.get(WEBHOOK_SETTING) or derive_webhook_keys(ring).to_text(),
    }


def environment_of(
    service: ServiceName, variables: Mapping[str, str], own: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What the process of `service` gets: all that is not ours (PATH, proxies …), its settings, and `own` over them."""
    wanted = {name for model in READS[service] for name in variables_of(model)} - _WITHHELD.get(service, frozenset())
    kept = {name: text for name, text in variables.items() if not name.startswith(PREFIX) or name in wanted}
    return {**kept, **(own or {})}
