"""`headrace up` without --embedded: one process for each replica of each service, on the servers of the settings."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.cli.child_settings import completed, environment_of
from services.cli.data_dir import DataDir, Endpoints
from services.cli.local_token import mint
from services.cli.migrating import migrate_patiently
from services.cli.replica import Replica
from services.cli.scaling import ServiceName
from services.cli.stack.process import free_port
from services.gateway.service import listen
from services.gateway.settings import GatewaySettings
from shared.config import load
from shared.observability.logging import get_logger
from shared.runtime.main import Process, ProcessSettings
from shared.runtime.resources import PlatformSettings

DRAIN_SECONDS = 17.5
"""From SIGTERM to SIGKILL: within the 20 s of `up`, above the services' own 15 s."""
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class Supervisor:
    """A service made of processes. `on_change`, which its maker may set, is called after each birth and death."""

    name = "supervisor"

    def __init__(self, scale: Mapping[ServiceName, int], variables: Mapping[str, str]) -> None:
        """`variables`: as `completed` gives them."""
        self.on_change: Callable[[], None] = lambda: None
        settings = load(ProcessSettings, variables)
        probe_host = _EVERYWHERE.get(settings.metrics_host, settings.metrics_host)
        self._replicas: list[Replica] = []
        for service, count in scale.items():
            for number in range(1, count + 1):
                # One port each: the one that was asked for, then those that follow it.
                port = settings.metrics_port + len(self._replicas) if settings.metrics_port else 0
                handed = _handed(service, variables, settings.metrics_host if port else "127.0.0.1")
                self._replicas.append(Replica(service, number, handed, self._changed, probe_host=probe_host, port=port))
        self._services = tuple(scale)

    def pids(self) -> dict[ServiceName, list[int]]:
        """Of the processes that run now, by service."""
        return {
            service: [each.pid for each in self._replicas if each.service == service and each.pid is not None]
            for service in self._services
        }

    @property
    def replicas(self) -> Sequence[Replica]:
        """For who waits until each of them is ready, and names those that are not."""
        return tuple(self._replicas)

    def _changed(self) -> None:
        self.on_change()

    async def run(self, stop: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for replica in self._replicas:
                    tasks.create_task(replica.keep(stop), name=replica.name)
        except BaseExceptionGroup as group:  # one replica's refusal ends the others' keeping
            raise _first(group) from None
        finally:
            await self._end()

    async def _end(self) -> None:
        for replica in self._replicas:
            replica.terminate()
        gone = asyncio.gather(*(replica.gone() for replica in self._replicas))
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.shield(gone)
        except TimeoutError:
            left = [replica.name for replica in self._replicas if replica.pid is not None]
            get_logger("supervisor").error("killed", replicas=left, seconds=DRAIN_SECONDS)
        finally:
            for replica in self._replicas:
                replica.kill()
            await gone

    async def ready(self) -> bool:
        answers = await asyncio.gather(*(replica.ready() for replica in self._replicas))
        return all(answers)


def _handed(service: ServiceName, variables: Mapping[str, str], metrics_host: str) -> Callable[[int], dict[str, str]]:
    def environment(port: int) -> dict[str, str]:
        own = {"HEADRACE_METRICS_PORT": str(port), "HEADRACE_METRICS_HOST": metrics_host}
        return environment_of(service, variables, own)

    return environment


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is about to run, migrated and checked."""

    supervisor: Supervisor
    endpoints: Endpoints


async def prepare(
    process: Process, data: DataDir, environ: Mapping[str, str], *, scale: Mapping[ServiceName, int], dev_user: bool
) -> Deployment:
    """Settings checked, migrations applied; nothing is started before both are done. Raises HeadraceError."""
    variables = completed(environ, jwt_secret=data.jwt_secret() if dev_user else None)
    settings = load(GatewaySettings, variables)
    host, port = settings.gateway_host, settings.gateway_port or free_port()
    variables["HEADRACE_GATEWAY_PORT"] = str(port)
    if scale["gateway"]:
        listen(host, port).close()  # a port in use is told now, not by a process that dies again and again
    platform = load(PlatformSettings, variables)
    await migrate_patiently(platform)
    token = None
    if dev_user:
        assert settings.jwt_secret is not None
        secret = settings.jwt_secret.get_secret_value()
        token = mint(secret, data.local_user(), process.clock, audience=settings.jwt_audience)
        process.secrets.add(token)
    shown = _EVERYWHERE.get(host, host)
    endpoints = Endpoints(
        gateway_url=f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}",
        database_url=platform.require("database_url"),
        redis_url=platform.require("redis_url"),
        amqp_url=platform.require("amqp_url"),
        token=token,
    )
    return Deployment(Supervisor(scale, variables), endpoints)
