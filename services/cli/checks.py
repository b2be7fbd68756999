"""What `headrace doctor` looks at. Each check ends in a sentence, whatever goes wrong in it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.cli.child_settings import check_gateway, check_keys
from services.cli.inspection import Inspection, inspecting
from services.fetcher.settings import FetcherSettings
from services.scheduler.settings import SchedulerSettings
from shared.config import load
from shared.coordination.redis import RedisServer, Script
from shared.errors import HeadraceError
from shared.messaging.amqp import AmqpBus
from shared.runtime.main import ProcessSettings
from shared.runtime.resources import PlatformSettings

OLDEST_POSTGRES = 150_000
"""PostgreSQL 15, as `server_version_num`."""
_REDIS_FACTS: Final = Script("return redis.call('INFO', 'server') .. redis.call('INFO', 'memory')")
_BROKER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """`found`: what is the case; `advice`: what to do, when that is not well."""

    name: str
    ok: bool
    found: str
    advice: str = ""


async def check_all(environ: Mapping[str, str], *, embedded: bool) -> list[Check]:
    """In the order in which one would mend them. `embedded`: there is no broker to look for."""
    checks = [
        await _tried("settings", lambda: _settings(environ)),
        await _tried("keys", lambda: _keys(environ)),
        await _tried("sign-in", lambda: _sign_in(environ)),
    ]
    try:
        platform = load(PlatformSettings, environ)
    except HeadraceError:
        return checks  # told above: nobody knows where the servers are
    checks += await _database(platform, environ)
    if not embedded:
        checks.append(await _tried("RabbitMQ", lambda: _broker(platform)))
    checks.append(await _tried("Redis", lambda: _redis(platform)))
    return checks


async def _tried(name: str, work: Callable[[], Awaitable[str]]) -> Check:
    """`work` says what it found, or raises HeadraceError."""
    try:
        return Check(name, True, await work())
    except HeadraceError as error:
        return Check(name, False, error.message, error.hint)
    except Exception as error:  # noqa: BLE001 - a doctor does not faint; the type says enough, the text may hold a password
        return Check(name, False, f"cannot be checked ({type(error).__name__})")


async def _settings(environ: Mapping[str, str]) -> str:
    platform = load(PlatformSettings, environ)
    for model in (ProcessSettings, SchedulerSettings, FetcherSettings):
        load(model, environ)
    return f"readable, schema {platform.schema_name}"


async def _keys(environ: Mapping[str, str]) -> str:
    return f"HEADRACE_MASTER_KEYS holds {', '.join(check_keys(environ).kids)}"


async def _sign_in(environ: Mapping[str, str]) -> str:
    settings = check_gateway(environ)
    return f"the gateway can check tokens, and will listen on {settings.gateway_host}:{settings.gateway_port}"


async def _database(platform: PlatformSettings, environ: Mapping[str, str]) -> list[Check]:
    try:
        async with inspecting(platform) as database:
            checks = [
                await _tried("PostgreSQL", lambda: _postgres_version(database)),
                await _tried("migrations", lambda: _migrations(database)),
            ]
            if checks[-1].ok:
                checks.append(await _tried("stored credentials", lambda: _boxes(database, environ)))
            return checks
    except HeadraceError as error:
        return [
            Check("PostgreSQL", False, error.message, error.hint or "Is HEADRACE_DATABASE_URL right, and is it up?")
        ]


async def _postgres_version(database: Inspection) -> str:
    version = await database.version()
    if version.number < OLDEST_POSTGRES:
        raise HeadraceError(f"version {version.shown} is too old", hint="PostgreSQL 15 or later is needed.")
    return f"version {version.shown}"


async def _migrations(database: Inspection) -> str:
    pending = await database.pending()
    if pending:
        raise HeadraceError(f"{len(pending)} not applied: {', '.join(pending)}", hint="Run `headrace migrate`.")
    return "all applied"


async def _boxes(database: Inspection, environ: Mapping[str, str]) -> str:
    ring = check_keys(environ)
    in_use = await database.kids_in_use()
    if foreign := await database.foreign_names(ring.public().halves):
        raise HeadraceError(
            f"HEADRACE_MASTER_KEYS: {', '.join(foreign)} is not the key of that name that the fetchers use",
            hint="Put that key's own text back. A new key needs a name of its own.",
        )
    unknown = sorted(in_use.keys() - set(ring.kids))
    if unknown:
        raise HeadraceError(
            f"sealed under {', '.join(unknown)}, which HEADRACE_MASTER_KEYS lacks",
            hint="Add the old key at the end of the list, or enter those sources' credentials again.",
        )
    return f"{sum(each.all for each in in_use.values())} sealed, every key is known"


async def _broker(platform: PlatformSettings) -> str:
    # The queues are declared on the way, as any service would do.
    bus = AmqpBus(platform.require("amqp_url"), name="headrace doctor", prefix=platform.amqp_prefix)
    try:
        await bus.start(timeout=_BROKER_SECONDS)
        if not await bus.ready():
            raise HeadraceError("does not answer", hint="Is HEADRACE_AMQP_URL right, and is the broker up?")
    finally:
        await bus.close()
    return "answers"


async def _redis(platform: PlatformSettings) -> str:
    try:
        async with RedisServer.at(platform.require("redis_url")) as server, asyncio.timeout(_BROKER_SECONDS):
            facts = _facts(bytes(await server.run(_REDIS_FACTS, [], [])))
    except ValueError:  # the library's word for an address it cannot read
        raise HeadraceError("HEADRACE_REDIS_URL is not a Redis address", hint="redis://host:6379/0, say.") from None
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise HeadraceError(
            f"evicts keys when it is full (maxmemory-policy {policy}): calls to vendors would be forgotten",
            hint="Set maxmemory-policy noeviction.",
        )
    if version := facts.get("valkey_version"):
        return f"Valkey {version}"
    return f"version {facts.get('redis_version', 'unknown')}"


def _facts(info: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}
