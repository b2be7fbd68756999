"""The embedded servers together."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from services.cli.stack.places import DirectoryLock
from services.cli.stack.postgres import EmbeddedPostgres
from services.cli.stack.valkey import EmbeddedValkey
from shared.errors import StartupError


class EmbeddedServers:
    """A real PostgreSQL and a real Valkey from wheels, on free ports of 127.0.0.1, for as long as the block lasts.

    `data_dir` is made if need be and keeps data, passwords (mode 0600) and logs across starts; one process at a time
    runs on it, and servers that a killed one left behind are stopped first. `durable=False` (tests) does not wait for
    the disk. `shared_candidates` are where root may put what cannot stay in a private `data_dir` (see `shared_root`).
    Raises StartupError.
    """

    def __init__(self, data_dir: Path, durable: bool = True, *, shared_candidates: tuple[Path, ...] = ()) -> None:
        self._data_dir = data_dir.absolute()
        self._postgres = EmbeddedPostgres(self._data_dir, durable=durable, shared_candidates=shared_candidates)
        self._valkey = EmbeddedValkey(self._data_dir, durable=durable)
        self._exits = AsyncExitStack()

    @property
    def database_url(self) -> str:
        """DSN of a superuser of the cluster, with its password."""
        return self._postgres.url

    @property
    def redis_url(self) -> str:
        """URL of Valkey's database 0, with its password."""
        return self._valkey.url

    async def __aenter__(self) -> Self:
        try:
            async with AsyncExitStack() as exits:
                self._data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
                exits.enter_context(DirectoryLock(self._data_dir))
                await exits.enter_async_context(self._postgres)
                await exits.enter_async_context(self._valkey)
                self._exits = exits.pop_all()
        except OSError as error:
            raise StartupError(
                f"The embedded servers cannot start: {error}", hint="Choose another --data-dir."
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def ended(self) -> str:
        """Return, when one of the servers ends without having been told to, a sentence that says which."""
        waits = {asyncio.create_task(self._postgres.ended()), asyncio.create_task(self._valkey.ended())}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for wait in waits:
                wait.cancel()
