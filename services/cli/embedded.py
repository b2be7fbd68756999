"""The whole of Headrace in this process: embedded servers, the in-process bus, every service as it ships."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.cli.data_dir import DataDir, Endpoints
from services.cli.living import ServerWatch
from services.cli.local_token import mint
from services.cli.migrating import migrate_now
from services.cli.scaling import ServiceName
from services.cli.stack import EmbeddedServers
from services.fetcher import app as fetcher
from services.fetcher.settings import FetcherSettings
from services.gateway import app as gateway
from services.gateway.service import GatewayService
from services.gateway.settings import GatewaySettings
from services.scheduler import app as scheduler
from services.scheduler.reaper import resume_all
from services.scheduler.settings import SchedulerSettings
from services.transformer import app as transformer
from services.writer import app as writer
from shared.config import load
from shared.coordination.redis import RedisServer
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Bus
from shared.observability.logging import get_logger
from shared.runtime.main import Process
from shared.runtime.resources import PlatformSettings, Resources, open_resources
from shared.runtime.service import Service
from shared.sealing.keyring import KeyRing
from shared.sealing.symmetric import derive_webhook_keys


@dataclass(frozen=True, slots=True)
class EmbeddedStack:
    """What is open: run the services, and tell the endpoints once they are ready."""

    services: Sequence[Service]
    endpoints: Endpoints


@asynccontextmanager
async def embedded_stack(
    process: Process,
    data: DataDir,
    environ: Mapping[str, str],
    *,
    scale: Mapping[ServiceName, int],
    durable: bool = True,
) -> AsyncIterator[EmbeddedStack]:
    """Servers in `data`, migrated; the services of `scale`; every run that the last process left is asked for again.

    `environ` is the environment; servers and sealing keys in it are not used. Raises HeadraceError.
    """
    async with EmbeddedServers(data.path, durable) as servers, AsyncExitStack() as stack:
        variables = _own_settings(data, servers, environ)
        platform = load(PlatformSettings, variables)
        await migrate_now(platform)
        bus = MemoryBus()
        stack.push_async_callback(bus.close)
        builder = _Builder(process, stack, platform, bus, variables)
        front, services = await builder.build(scale)
        services.append(ServerWatch(servers))
        endpoints = Endpoints(
            gateway_url=front.url if front else "",
            database_url=servers.database_url,
            redis_url=servers.redis_url,
            amqp_url=None,
            token=_token(process, data, variables),
        )
        yield EmbeddedStack(services, endpoints)


def _own_settings(data: DataDir, servers: EmbeddedServers, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with what is this directory's own put in place; a JWT secret that is set stays."""
    ring = KeyRing.parse(data.master_keys())
    own = {
        "HEADRACE_DATABASE_URL": servers.database_url,
        "HEADRACE_REDIS_URL": servers.redis_url,
        "HEADRACE_AMQP_URL": "",
        "HEADRACE_MASTER_KEYS": ring.to_text(),
        "HEADRACE_SEAL_KEYS": ring.public().to_text(),
        "HEADRACE_WEBHOOK_KEYS": derive_webhook_keys(ring).to_text(),
        "HEADRACE_JWT_SECRET": environ.get("HEADRACE_JWT_SECRET") or data.jwt_secret(),  # beside a key set too
    }
    return {**environ, **own}


def _token(process: Process, data: DataDir, variables: Mapping[str, str]) -> str:
    settings = load(GatewaySettings, variables)
    assert settings.jwt_secret is not None
    secret = settings.jwt_secret.get_secret_value()
    token = mint(secret, data.local_user(), process.clock, audience=settings.jwt_audience)
    process.secrets.add(token)
    return token


class _Builder:
    """Each service with resources of its own (its role's connections), all on one bus."""

    def __init__(
        self,
        process: Process,
        stack: AsyncExitStack,
        platform: PlatformSettings,
        bus: Bus,
        variables: Mapping[str, str],
    ) -> None:
        self._process = process
        self._stack = stack
        self._platform = platform
        self._bus = bus
        self._variables = variables

    async def build(self, scale: Mapping[ServiceName, int]) -> tuple[GatewayService | None, list[Service]]:
        """The gateway, if any, and all services; runs that the last process left are asked for on the way."""
        services = [
            *await self._several(scale["fetcher"], fetcher.ROLE, self._fetcher, redis=True),
            *await self._several(scale["transformer"], None, transformer.build),
            *await self._several(scale["writer"], writer.ROLE, writer.build),
            *await self._several(scale["scheduler"], scheduler.ROLE, self._scheduler, redis=True),
        ]
        async with self._opening(scheduler.ROLE) as resources:
            resumed = await resume_all(resources.need_database(), self._bus)
        if resumed:
            get_logger("up").info("resumed", runs=resumed)
        front = None
        if scale["gateway"]:  # last: it listens as soon as it is built
            settings = load(GatewaySettings, self._variables)
            front = gateway.build(settings, await self._stack.enter_async_context(self._opening(gateway.ROLE)))
            services.append(front)
        return front, services

    def _fetcher(self, resources: Resources) -> Service:
        return fetcher.build(load(FetcherSettings, self._variables), resources)

    def _scheduler(self, resources: Resources) -> Service:
        return scheduler.build(load(SchedulerSettings, self._variables), resources)

    async def _several(
        self, count: int, role: str | None, build: Callable[[Resources], Service], *, redis: bool = False
    ) -> list[Service]:
        if not count:
            return []
        resources = await self._stack.enter_async_context(self._opening(role, redis=redis))
        return [build(resources) for _ in range(count)]

    def _opening(self, role: str | None, *, redis: bool = False) -> AbstractAsyncContextManager[Resources]:
        client = RedisServer.at if redis else None
        return open_resources(self._platform, self._process, role=role, redis=client, bus=self._bus)
