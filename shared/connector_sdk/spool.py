"""Files for what does not fit into memory: in the configured directory, bounded, and gone when nobody uses them."""

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from shared.errors import DataError, RetryableError

_PREFIX: Final = "headrace-spool-"
STALE_SECONDS: Final = 3600.0
"""A name lives for the moment between making a file and unlinking it; one that is so old is left from a crash then."""


class SpoolFile:
    """A file without a name: nobody else can open it, and even a crash deletes it. Not for two threads at once."""

    def __init__(self, file: IO[bytes], space: "SpoolSpace") -> None:
        self._file = file
        self._space = space
        self.size = 0
        """Bytes appended so far."""

    def append(self, data: bytes) -> None:
        """Blocks. Raises DataError above the file's bound, RetryableError for a full disk; nothing is kept then."""
        if self.size + len(data) > self._space.max_bytes:
            raise DataError(
                f"the answer holds more than {self._space.max_bytes:,} bytes of records",
                hint="Ask the source for fewer rows or columns.",
            )
        try:
            disk = os.fstatvfs(self._file.fileno())
            fits = disk.f_bavail * disk.f_frsize >= self._space.free_bytes + len(data)
            if fits:
                self._file.write(data)
                self._file.flush()
        except OSError as error:
            raise _no_space(errno.errorcode.get(error.errno or 0, "unknown error")) from error
        if not fits:
            raise _no_space(f"less than {self._space.free_bytes:,} bytes are free")
        self.size += len(data)

    def read(self, start: int, size: int) -> bytes:
        """Blocks. At most `size` bytes from `start` on; safe from several threads."""
        return os.pread(self._file.fileno(), size, start)


@dataclass(frozen=True, slots=True)
class SpoolSpace:
    """Where such files are, and what each may take."""

    directory: Path | None = None
    """None: the system's place for temporary files."""
    max_bytes: int = 4 * 1024 * 1024 * 1024
    """Of one file."""
    free_bytes: int = 512 * 1024 * 1024
    """Left free on that disk for everybody else."""

    @asynccontextmanager
    async def file(self) -> AsyncIterator[SpoolFile]:
        """An empty one; gone at the end. Raises RetryableError where none can be made."""
        try:
            file = await asyncio.to_thread(self._nameless)
        except OSError as error:
            raise _no_space(errno.errorcode.get(error.errno or 0, "unknown error")) from error
        try:
            yield SpoolFile(file, self)
        finally:
            with suppress(OSError):  # a full disk refuses what is still buffered, which nobody wants any more
                file.close()

    def clean(self, now: float) -> int:
        """Blocks. Remove what a crash has left, by Unix seconds `now`; how many. Raises OSError where none may be made.

        Only in a directory of our own: the system's place is cleaned by the system.
        """
        self._nameless().close()
        removed = 0
        for path in () if self.directory is None else self.directory.glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):  # another fetcher that starts now was first
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime < now - STALE_SECONDS:
                    path.unlink()
                    removed += 1
        return removed

    def _nameless(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self.directory, prefix=_PREFIX)


def _no_space(why: str) -> RetryableError:
    hint = "Free some space where the fetcher runs, or set HEADRACE_SPOOL_DIR."
    return RetryableError(f"the answer cannot be spooled to disk: {why}", hint=hint)
