"""Before anything is fetched: can answers be spooled? And what a crash has left there goes."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from shared.clock import Clock
from shared.connector_sdk.spool import SpoolSpace
from shared.errors import StartupError

_log = structlog.get_logger()


class SpoolCheck:
    """`async with SpoolCheck(…)`: raises StartupError that names the setting."""

    def __init__(self, space: SpoolSpace, clock: Clock) -> None:
        self._space = space
        self._clock = clock

    async def __aenter__(self) -> Self:
        try:
            removed = await asyncio.to_thread(self._space.clean, self._clock.unix())
        except OSError as error:
            place = self._space.directory or "the system's place for temporary files"
            raise StartupError(
                f"HEADRACE_SPOOL_DIR: no file can be made in {place} ({error.strerror or type(error).__name__})",
                hint="Name a directory that the fetcher may write to.",
            ) from None
        if removed:
            _log.info("spooled answers that a crash has left were removed", files=removed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""
