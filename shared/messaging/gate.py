"""When the workers of one consumer may start: freely while things go well, singly after a wait while they do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from shared.clock import Clock


class Gate:
    """Closed, it lets workers pass one at a time, each after a wait that doubles from `first` to `longest` seconds.

    Whoever passes finds out whether things are better, and opens it for all or closes it again.
    """

    def __init__(self, clock: Clock, *, first: float, longest: float) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._wait: float | None = None
        self._turn = asyncio.Lock()
        self._closed_at = 0.0
        self._tried_at = 0.0

    def is_open(self) -> bool:
        """True while all may pass."""
        return self._wait is None

    def closed_for(self) -> float:
        """Seconds since it was closed; 0 while it is open."""
        return 0.0 if self._wait is None else self._clock.unix() - self._closed_at

    def close(self) -> None:
        """Close it; a closed one whose wait was served in vain doubles it."""
        now = self._clock.unix()
        if self._wait is None:
            self._closed_at = self._tried_at = now
            self._wait = self._first
        elif now - self._tried_at >= self._wait * 0.9:  # failures of those who started before say nothing new
            self._tried_at = now
            self._wait = min(self._wait * 2, self._longest)

    def open(self) -> None:
        """All may pass, and the next closing starts with the shortest wait."""
        self._wait = None

    @asynccontextmanager
    async def passage(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Hold it while working. When `stop` is set nobody waits any more."""
        async with AsyncExitStack() as turn:
            if not self.is_open():
                await turn.enter_async_context(self._turn)
                wait = self._wait
                if wait is None:  # whoever went before opened it
                    await turn.aclose()
                else:
                    await _sleep_or_stop(self._clock, wait, stop)
            yield


async def _sleep_or_stop(clock: Clock, seconds: float, stop: asyncio.Event) -> None:
    waits = {asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(stop.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
