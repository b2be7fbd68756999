"""The servers a service works with, opened once and closed in order."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from shared.clock import Clock
from shared.config import SettingsModel
from shared.errors import StartupError
from shared.messaging.amqp import AmqpBus
from shared.messaging.ports import Bus
from shared.observability.metrics import Metrics
from shared.observability.secrets import SecretRegistry
from shared.observability.tracing import Tracing
from shared.runtime.main import Process
from shared.runtime.observed_bus import ObservedBus
from shared.storage.database import Database, open_database

if TYPE_CHECKING:  # who has business with Redis hands it in: its library is a fifth of what a writer would import
    from shared.coordination.redis import RedisServer


class PlatformSettings(SettingsModel):
    """Where the servers are. The addresses hold passwords, hence secret."""

    database_url: SecretStr = SecretStr("")
    amqp_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    schema_name: str = Field(default="public", alias="schema")
    amqp_prefix: str = Field(default="", max_length=50)
    """Begins every name of ours on the broker, where deployments share one."""
    redis_prefix: str = Field(default="headrace:", max_length=50)
    """Begins every key of ours in Redis, likewise."""

    def require(self, name: str) -> str:
        """The address, or a StartupError that names the variable."""
        secret: SecretStr = getattr(self, name)
        if not secret.get_secret_value():
            hint = "See the settings table in docs/operations.md."
            raise StartupError(f"HEADRACE_{name.upper()} is not set", hint=hint)
        return secret.get_secret_value()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a composition root is handed. A service that has no business with a server finds None there."""

    bus: Bus
    database: Database | None
    redis: "RedisServer | None"
    clock: Clock
    metrics: Metrics
    secrets: SecretRegistry
    tracing: Tracing
    key_prefix: str = "headrace:"
    """Begins the name of every key of ours in Redis."""

    def need_database(self) -> Database:
        """The database of a service that has one."""
        if self.database is None:
            raise StartupError("this service was started without a database")
        return self.database

    def need_redis(self) -> "RedisServer":
        """The Redis of a service that has one."""
        if self.redis is None:
            raise StartupError("this service was started without Redis")
        return self.redis


@asynccontextmanager
async def open_resources(
    settings: PlatformSettings,
    process: Process,
    *,
    role: str | None,
    redis: "Callable[[str], AbstractAsyncContextManager[RedisServer]] | None" = None,
    bus: Bus | None = None,
) -> AsyncIterator[Resources]:
    """Open what a service needs: the bus (RabbitMQ unless one is passed in), a database in `role`, Redis.

    `redis`: `RedisServer.at`, of a service that has business with it.
    """
    async with AsyncExitStack() as stack:
        transport: Bus
        if bus is None:
            broker = AmqpBus(settings.require("amqp_url"), clock=process.clock, prefix=settings.amqp_prefix)
            stack.push_async_callback(broker.close)
            await broker.start()
            transport = broker
        else:
            transport = bus
        database = None
        if role is not None:
            database = await stack.enter_async_context(
                open_database(
                    settings.require("database_url"),
                    role=role,
                    schema=settings.schema_name,
                    application=f"headrace {role.removeprefix('headrace_')}",
                )
            )
        server = None
        if redis is not None:
            server = await stack.enter_async_context(redis(settings.require("redis_url")))
        yield Resources(
            ObservedBus(transport, process.metrics, process.clock, process.tracing),
            database,
            server,
            process.clock,
            process.metrics,
            process.secrets,
            process.tracing,
            settings.redis_prefix,
        )
