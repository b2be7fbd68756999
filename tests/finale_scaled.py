"""A Finale connector whose limits have other windows, as the sandbox has them then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from pipeline import Pipeline, running_pipeline
from shared.connector_sdk.protocol import Client, Connector, Source
from shared.connector_sdk.registry import Registry
from shared.connector_sdk.spec import ConnectorSpec, RateLimit


class Scaled:
    """The connector with an hour of a minute's length, as the sandbox has it then."""

    def __init__(self, inner: Connector, limits: dict[str, RateLimit]) -> None:
        self._inner = inner
        self.spec: ConnectorSpec = replace(inner.spec, rate_limits=limits)

    def open(self, config: dict[str, object], client: Client) -> Source:
        return self._inner.open(config, client)


@asynccontextmanager
async def scaled_pipeline(
    database_url: str, redis_url: str, redis_prefix: str, connector: Connector, limits: dict[str, RateLimit]
) -> AsyncIterator[Pipeline]:
    """The pipeline with that connector alone."""
    registry = Registry([Scaled(connector, limits)])  # type: ignore[list-item]
    async with running_pipeline(database_url, redis_url, redis_prefix, registry=registry) as pipeline:
        yield pipeline
