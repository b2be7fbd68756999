"""Long steps: the ledger hears that they are alive, and they hear when nobody wants them any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from shared.clock import Clock
from shared.contracts.messages import FetchPage
from shared.errors import PlatformAwayError
from shared.storage import runs
from shared.storage.database import Database

BEAT_SECONDS = 20.0
"""Well below the reaper's patience."""


class AbandonedError(Exception):
    """The run or the entity has ended: go no further."""


class Life:
    """What a step knows of the run it works for."""

    def __init__(self) -> None:
        self.over = False

    def check(self) -> None:
        """Raises AbandonedError when it is over."""
        if self.over:
            raise AbandonedError


@asynccontextmanager
async def kept_alive(db: Database, due: FetchPage, clock: Clock, every: float = BEAT_SECONDS) -> AsyncIterator[Life]:
    """Touch the entity now and then while the block runs: waiting for a slow vendor or a full queue is progress."""
    life = Life()
    beating = asyncio.create_task(_beat(db, due, clock, every, life))
    try:
        yield life
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(db: Database, due: FetchPage, clock: Clock, every: float, life: Life) -> None:
    while not life.over:
        await clock.sleep(every)
        with suppress(PlatformAwayError):  # the step itself will find out
            async with db.for_run(due.run_id) as (conn, run):
                life.over = run is None or not await runs.touch(conn, due.run_id, due.entity)
