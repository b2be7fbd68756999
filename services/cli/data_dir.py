"""The directory that `headrace up` keeps between starts: its lock, its own keys, and endpoints.json."""

import fcntl
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from services.cli.scaling import ServiceName
from services.cli.stack.places import secret, write_private
from shared.contracts.ids import UserId
from shared.errors import StartupError
from shared.sealing.keyring import generate_key

DEFAULT_DATA_DIR = Path(".headrace")
ENDPOINTS = "endpoints.json"
MASTER_KEYS = "master.keys"
JWT_SECRET = "jwt.secret"  # noqa: S105 - a file's name
_OWN_KEY_ID = "local-1"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running stack is. `token` only where a local user was asked for, `amqp_url` None when embedded."""

    gateway_url: str
    database_url: str
    redis_url: str
    amqp_url: str | None
    token: str | None


class DataDir:
    """`with DataDir(path) as data:` one `up` at a time; files in it are readable by their owner alone.

    Raises StartupError when another process holds it or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        try:
            # 0755: PostgreSQL, started by root, runs as another account and must pass through.
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock()
            self.forget_endpoints()  # of one that was killed: nobody shall take them for ours
        except OSError as error:
            self._held.close()
            raise StartupError(
                f"The data directory {self.path} cannot be used: {error.strerror or error}",
                hint="Choose another --data-dir.",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget_endpoints()
        self._held.close()

    def _lock(self) -> None:
        # The kernel lets go when the holder dies, however it dies; the file itself stays, or two could lock two files.
        descriptor = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._held.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            self._held.close()
            raise StartupError(
                f"Headrace runs already on {self.path}" + (f" (process {holder})" if holder.isdigit() else ""),
                hint="Stop it, or choose another --data-dir.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def master_keys(self) -> str:
        """Private sealing keys of this directory alone, made on first use; the text form of HEADRACE_MASTER_KEYS."""
        file = self.path / MASTER_KEYS
        if not file.exists():
            write_private(file, generate_key(_OWN_KEY_ID))
        return file.read_text().strip()

    def jwt_secret(self) -> str:
        """The HS256 secret of this directory, made on first use."""
        return secret(self.path / JWT_SECRET)

    def local_user(self) -> UserId:
        """The one user that this directory's token belongs to, the same on every start."""
        file = self.path / "local-user"
        if not file.exists():
            write_private(file, str(uuid.uuid4()))
        return UserId(uuid.UUID(file.read_text().strip()))

    def write_endpoints(self, endpoints: Endpoints, pids: Mapping[ServiceName, Sequence[int]]) -> None:
        """Whole or not at all: who waits for the file never reads half of it."""
        document = {
            "gateway_url": endpoints.gateway_url,
            "database_url": endpoints.database_url,
            "redis_url": endpoints.redis_url,
            "amqp_url": endpoints.amqp_url,
            "token": endpoints.token,
            "pids": {name: list(each) for name, each in pids.items()},
        }
        write_private(self.path / ENDPOINTS, json.dumps(document, indent=2) + "\n")

    def forget_endpoints(self) -> None:
        """Nothing runs here any more."""
        (self.path / ENDPOINTS).unlink(missing_ok=True)


def stored_settings(path: Path) -> dict[str, str] | None:
    """The settings of the embedded Headrace that runs on `path`, by variable; None when none does."""
    try:
        document = json.loads((path / ENDPOINTS).read_bytes())
        if document["amqp_url"] is not None:
            return None
        return {
            "HEADRACE_DATABASE_URL": str(document["database_url"]),
            "HEADRACE_REDIS_URL": str(document["redis_url"]),
            "HEADRACE_MASTER_KEYS": (path / MASTER_KEYS).read_text().strip(),
            "HEADRACE_JWT_SECRET": (path / JWT_SECRET).read_text().strip(),
            "HEADRACE_SEAL_KEYS": "",
            "HEADRACE_WEBHOOK_KEYS": "",
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def settings_of(environ: Mapping[str, str], path: Path) -> tuple[Mapping[str, str], bool]:
    """What a command looks at: the environment; where it names no database, the embedded Headrace that runs on `path`
    (then True)."""
    stored = None if environ.get("HEADRACE_DATABASE_URL") else stored_settings(path)
    return (environ, False) if stored is None else ({**environ, **stored}, True)
