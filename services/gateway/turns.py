"""How much of what all users share one of them may hold at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contracts.ids import UserId

PROBES_AT_ONCE = 3
"""Of one user, in this process; a fetcher tries six at a time."""
MOST_WAITING = 20
"""More of one user would only fill the server: with requests, and with rows of what they want to try."""


class Turns:
    """Lets `most` at a time of each user in. Others of that user wait, `waiting` of them at most, in their order;
    nobody else does.
    """

    def __init__(self, most: int = PROBES_AT_ONCE, waiting: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting = waiting
        self._open: dict[UserId, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, user_id: UserId, patience: float) -> AsyncIterator[bool]:
        """True once it is the caller's turn; False when it is not within `patience` seconds, or too many wait."""
        gate, holders = self._open.get(user_id, (asyncio.Semaphore(self._most), 0))
        if holders >= self._most + self._waiting:
            yield False
            return
        self._open[user_id] = gate, holders + 1
        entered = False
        try:
            entered = await _within(gate, patience)
            yield entered
        finally:
            if entered:
                gate.release()
            self._leave(user_id)

    def _leave(self, user_id: UserId) -> None:
        gate, holders = self._open.pop(user_id)
        if holders > 1:
            self._open[user_id] = gate, holders - 1


async def _within(gate: asyncio.Semaphore, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await gate.acquire()
    except TimeoutError:
        return False
