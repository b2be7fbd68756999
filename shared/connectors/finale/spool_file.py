"""A nameless file on disk: nobody else can open it, and even a crash deletes it."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import IO

from shared.errors import RetryableError

_FREE_BYTES = 512 * 1024 * 1024
"""Left free on the disk for everybody else."""


@asynccontextmanager
async def spool_file() -> AsyncIterator[IO[bytes]]:
    """Empty; gone at the end."""
    file = await asyncio.to_thread(_nameless_file)
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk refuses what is still buffered, which nobody wants any more
            file.close()


def append(file: IO[bytes], data: bytes) -> None:
    """Raises RetryableError for a full disk."""
    try:
        disk = os.fstatvfs(file.fileno())
        if disk.f_bavail * disk.f_frsize < _FREE_BYTES + len(data):
            raise _no_space()
        file.write(data)
    except OSError:
        raise _no_space() from None


def _nameless_file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="headrace-")


def _no_space() -> RetryableError:
    return RetryableError(
        "the answer cannot be spooled to disk: too little space is free",
        hint="Free some space in the temporary directory where the fetcher runs.",
    )
