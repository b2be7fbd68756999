"""Files and directories of the embedded servers: private ones, shared ones, and who can reach them."""

import fcntl
import os
import pwd
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.errors import StartupError

_SHARED_NAME = "headrace-embedded"


@dataclass(frozen=True)
class Account:
    """The operating system's account that PostgreSQL runs as; it refuses to run as root."""

    uid: int
    gid: int

    @property
    def other(self) -> bool:
        """Whether this is not the account of this process."""
        return self.uid != os.geteuid()

    def become(self) -> None:
        """Turn this process, which is root's, into one of the account and of no group but its own."""
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)


def server_account(existing: Path) -> Account:
    """Ourselves, or as root the owner of the cluster `existing`, or `nobody` when there is none yet."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        owner = existing.stat()
    except FileNotFoundError:
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise StartupError(
                "PostgreSQL refuses to run as root and there is no account `nobody`", hint="Run as another user."
            ) from None
        return Account(nobody.pw_uid, nobody.pw_gid)
    if owner.st_uid == 0:
        raise StartupError(
            f"{existing} belongs to root, who may not run PostgreSQL", hint="Choose another data directory."
        )
    return Account(owner.st_uid, owner.st_gid)


def reachable(directory: Path, account: Account) -> bool:
    """Whether `account` can pass through `directory` and every directory above it, by their modes."""
    for path in [directory, *directory.parents]:
        state = path.stat()
        bit = stat.S_IXUSR if state.st_uid == account.uid else stat.S_IXOTH
        if not state.st_mode & bit:
            return False
    return True


def shared_root(account: Account, candidates: tuple[Path, ...] = ()) -> Path:
    """A directory of ours, made if need be, that `account` can reach: for what cannot stay in a private place.

    /var/lib before the temporary directory, because that one is emptied behind our back. Raises StartupError when
    neither will do.
    """
    for parent in candidates or (Path("/var/lib"), Path(tempfile.gettempdir())):
        place = parent / _SHARED_NAME
        try:
            place.mkdir(mode=0o755, exist_ok=True)
            if not untampered(place):
                continue  # somebody else took the name in a directory that all may write
            place.chmod(0o755)  # the umask may have taken bits away
        except OSError:
            continue
        if reachable(place, account):
            return place
    raise StartupError(
        "No directory for the embedded database that an unprivileged account can reach",
        hint="Choose a --data-dir that every user can pass through, or run as an unprivileged user.",
    )


def untampered(path: Path) -> bool:
    """Whether `path` itself (no link followed) is ours and nobody else may write to it."""
    state = path.lstat()
    return not stat.S_ISLNK(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o022


def secret(path: Path) -> str:
    """The random text in the private file `path`, made on first use: 48 hexadecimal characters."""
    if not path.exists():
        write_private(path, secrets.token_hex(24))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write `path` whole or not at all, readable by its owner alone."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open_private(part) as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_private(path: Path) -> BinaryIO:
    """`path` opened for appending, made with mode 0600, never through a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "ab", buffering=0)


class DirectoryLock:
    """One process at a time on a directory. The kernel lets go when the holder dies, however it dies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def __enter__(self) -> None:
        """Raises StartupError when another process holds it."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StartupError(
                f"Another process runs the embedded servers in {self._directory}",
                hint="Stop it, or choose another --data-dir.",
            ) from None
        self._descriptor = descriptor

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
