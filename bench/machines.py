"""The PostgreSQL, RabbitMQ and Redis of a bench: those of the tests, but with a durable PostgreSQL.

HEADRACE_BENCH_DATABASE_URL (of a superuser), HEADRACE_BENCH_AMQP_URL and HEADRACE_BENCH_REDIS_URL name others.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers import postgres
from servers.launching import Running
from servers.provider import LADDERS, ServerProvider


@dataclass(frozen=True)
class Servers:
    """Addresses."""

    database: str
    amqp: str
    redis: str


def _durable_from_machine() -> Running:
    return postgres.from_machine(durable=True)


def _durable_from_wheel() -> Running:
    return postgres.from_wheel(durable=True)


@contextmanager
def private_servers() -> Iterator[Servers]:
    """Started, and ended with the block; those named in the environment are left alone."""
    names = ("postgres_url", "amqp_url", "redis_url")
    ladders = {
        name: replace(LADDERS[name], address=(LADDERS[name].address or "").replace("_TEST_", "_BENCH_"))
        for name in names
    }
    ladders["postgres_url"] = replace(
        ladders["postgres_url"], steps=(_durable_from_machine, _durable_from_wheel, postgres.from_container)
    )
    provider = ServerProvider(ladders=ladders)
    try:
        provider.prefetch(names)
        yield Servers(*(provider.url(name) for name in names))
    finally:
        provider.close()
