"""RabbitMQ for tests: one node with its own epmd, all of it on loopback and in a private directory."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from servers.launching import (
    START_SECONDS,
    Child,
    Running,
    ServerUnavailableError,
    account_of,
    listens,
    on_free_ports,
    private_directory,
    remove,
    says,
)
from services.cli.stack.places import Account

_GREETING, _START = b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00"  # a method frame on channel 0: connection.start
_CONFIGURATION = """\
listeners.tcp.default = 127.0.0.1:{port}
loopback_users.guest = true
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 50MB
log.file.level = warning
"""


class Broker:
    """One node whose process a test may stop and start again: same port, same data."""

    def __init__(self, running: Running, launch: Callable[[], Child]) -> None:
        self.url = running.url
        self._running = running
        self._launch = launch
        self._child: Child | None = None

    def start(self) -> None:
        """Return when it answers."""
        self._child = self._launch()

    def stop(self) -> None:
        """As a crash: what is not on disk is lost."""
        if self._child is not None:
            self._child.end(signal.SIGKILL, 5)
        self._child = None

    def freeze(self) -> None:
        """It holds its connections and says nothing, until `thaw`."""
        assert self._child is not None, "stopped"
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None, "stopped"
        self._child.send(signal.SIGCONT)

    def end(self) -> None:
        """Nothing of it is kept."""
        self.stop()
        self._running.end()

    def lasting(self) -> Running:
        """For who never stops it."""
        return Running(self.url, self.end, self._running.control)


def from_machine() -> Running:
    """The installed rabbitmq-server; a second node beside whatever runs already."""
    return stoppable().lasting()


def stoppable() -> Broker:
    """A node of the test's own. Raises ServerUnavailableError where there is no rabbitmq-server on the machine."""
    program, epmd = _programs()
    found: list[Broker] = []

    def start(ports: list[int]) -> Running:
        found[:] = [_run(program, epmd, ports)]
        return found[0].lasting()

    on_free_ports(start, count=3)
    return found[0]


def _programs() -> tuple[Path, Path]:
    """The broker's and epmd's."""
    # Debian's program on PATH is a wrapper that changes directory and user; below it is the plain one.
    plain = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    program = plain if plain.exists() else shutil.which("rabbitmq-server")
    if program is None:
        raise ServerUnavailableError("no rabbitmq-server on PATH nor in /usr/lib/rabbitmq/bin")
    epmd = shutil.which("epmd") or next(map(str, sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))), None)
    if epmd is None:
        raise ServerUnavailableError("no epmd (part of Erlang) on PATH")
    return Path(program), Path(epmd)


def from_container() -> Running:
    """RabbitMQ 4 in a container."""
    try:
        from testcontainers.community.rabbitmq import RabbitMqContainer  # noqa: PLC0415 - slow, and rarely wanted

        container = RabbitMqContainer("rabbitmq:4-alpine").start()
        url = f"amqp://guest:guest@{container.get_container_host_ip()}:{container.get_exposed_port(5672)}/"
    except Exception as error:  # no client, no daemon, no image: all the same here
        raise ServerUnavailableError(f"testcontainers: {error}") from error

    def control(*arguments: str, stdin: str = "") -> str:
        # `exec` has no standard input: the words travel as arguments of a shell that has no other purpose.
        code, output = container.exec(["sh", "-c", 'printf %s "$0" | rabbitmqctl "$@"', stdin, *arguments])
        if code != 0:
            raise subprocess.CalledProcessError(code, ["rabbitmqctl", *arguments], output)
        return bytes(output).decode()

    return Running(url, container.stop, control)


def _run(program: Path, epmd: Path, ports: list[int]) -> Broker:
    port, distribution, names = ports
    account = account_of("rabbitmq", "nobody")
    home = private_directory("rabbitmq", account)
    (home / "rabbitmq.conf").write_text(_CONFIGURATION.format(port=port))
    (home / "plugins").write_text("[].")
    (home / "env.conf").write_text("")
    environment = {
        # @localhost needs no resolvable host name; an epmd of our own meets nobody else's node.
        "RABBITMQ_NODENAME": f"headrace{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Without the first the distribution port listens on every address; the rest stops busy waiting.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
        " +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "none.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "db"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_SCHEMA_DIR": str(home / "schema"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
    }
    # In the foreground and as our child: the one that a node starts by itself would outlive it.
    names_server = Child([epmd, "-address", "127.0.0.1", "-port", str(names)], home, account, environment)

    def end() -> None:
        names_server.end(signal.SIGTERM, 5)
        remove(home)

    def launch() -> Child:
        node = Child([program], home, account, environment)
        try:
            node.wait_until(lambda: says(port, _GREETING, _START))
        except BaseException:
            node.end(signal.SIGKILL, 5)  # nothing of it is kept
            raise
        return node

    # Beside the server; the one on PATH may be a wrapper that looks for another node's cookie.
    beside = program.parent / "rabbitmqctl"

    def control(*arguments: str, stdin: str = "") -> str:
        return _control(
            beside if beside.exists() else Path("rabbitmqctl"), arguments, stdin, home, account, environment
        )

    broker = Broker(Running(f"amqp://guest:guest@127.0.0.1:{port}/", end, control), launch)
    try:
        names_server.wait_until(lambda: listens(names))
        broker.start()
    except BaseException:
        broker.end()
        raise
    return broker


def _control(
    program: Path, arguments: tuple[str, ...], stdin: str, home: Path, account: Account, environment: Mapping[str, str]
) -> str:
    """Raises CalledProcessError with what the program said."""
    done = subprocess.run(
        [program, *arguments],
        cwd=home,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": str(home), **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=True,
        user=account.uid if account.other else None,
        group=account.gid if account.other else None,
        extra_groups=[] if account.other else None,
    )
    return done.stdout
