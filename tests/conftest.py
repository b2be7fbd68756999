"""Servers, isolation and a clean environment for every test.

Sessions share the servers; tests share nothing: `database_url` is a database of the test's own, `bus_prefix` and
`redis_prefix` begin the names of its queues and keys. A server that cannot be had fails the test, it never skips it.
"""

import gc
import os
import secrets
import signal
from collections.abc import Callable, Iterator

import pytest

from servers import databases
from servers.launching import Running, ServerUnavailableError
from servers.provider import LADDERS, ServerProvider

_PROVIDER = pytest.StashKey[ServerProvider]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_PROVIDER] = ServerProvider()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit of CI ends the servers as Ctrl-C does


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start, side by side, the servers that the collected tests ask for."""
    # Thousands of tests and all modules are there to stay: Python need not walk through them again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    session.config.stash[_PROVIDER].prefetch(sorted(wanted & LADDERS.keys()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Runs after the last teardown, on Ctrl-C too."""
    config.stash[_PROVIDER].close()


def _url(request: pytest.FixtureRequest, name: str) -> str:
    return _running(request, name).url


def _running(request: pytest.FixtureRequest, name: str) -> Running:
    try:
        return request.config.stash[_PROVIDER].running(name)
    except ServerUnavailableError as error:
        pytest.fail(f"no server for {name}: {error}", pytrace=False)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test."""
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """DSN of a superuser of a real PostgreSQL (15 or later). Tests make databases in it, never tables."""
    return _url(request, "postgres_url")


@pytest.fixture(scope="session")
def postgres18_url(request: pytest.FixtureRequest) -> str:
    """The same, of the PostgreSQL 18 of the embedded mode."""
    return _url(request, "postgres18_url")


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest) -> str:
    """URL of a real RabbitMQ; tests begin their names with `bus_prefix`."""
    return _url(request, "amqp_url")


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Running:
    """A RabbitMQ whose users the tests may make: the one of `amqp_url`, or of our own where that is somebody's."""
    shared = _running(request, "amqp_url")
    return shared if shared.control is not None else _running(request, "own_amqp_url")


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """URL of a real Redis or Valkey; tests begin their keys with `redis_prefix` and never flush."""
    return _url(request, "redis_url")


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The database with our tables that `database_url` copies."""
    name = databases.migrated(postgres_url)
    yield name
    databases.drop(postgres_url, name)


@pytest.fixture(scope="session")
def template18(postgres18_url: str) -> Iterator[str]:
    """The same on PostgreSQL 18."""
    name = databases.migrated(postgres18_url)
    yield name
    databases.drop(postgres18_url, name)


@pytest.fixture
def new_database() -> Iterator[Callable[..., str]]:
    """`new_database(admin_url, template=None)` makes a database and returns its DSN; it is dropped after the test."""
    made: list[tuple[str, str]] = []

    def make(admin_url: str, template: str | None = None) -> str:
        name = databases.create(admin_url, template)
        made.append((admin_url, name))
        return databases.at(admin_url, name)

    yield make
    for admin_url, name in made:
        databases.drop(admin_url, name)


@pytest.fixture
def database_url(postgres_url: str, template: str, new_database: Callable[..., str]) -> str:
    """Superuser's DSN of a database of this test's own, with our tables."""
    return new_database(postgres_url, template)


@pytest.fixture
def database18_url(postgres18_url: str, template18: str, new_database: Callable[..., str]) -> str:
    """The same on PostgreSQL 18."""
    return new_database(postgres18_url, template18)


@pytest.fixture
def empty_database_url(postgres_url: str, new_database: Callable[..., str]) -> str:
    """Superuser's DSN of a database of this test's own, with nothing in it."""
    return new_database(postgres_url)


@pytest.fixture
def bus_prefix() -> str:
    """Begins the names of this test's queues and exchanges."""
    return f"test-{secrets.token_hex(6)}."


@pytest.fixture
def redis_prefix() -> str:
    """Begins the names of this test's keys."""
    return f"test-{secrets.token_hex(6)}:"
