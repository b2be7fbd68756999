"""Runs that lost their worker go on; queued runs whose message was lost are asked for again."""

import structlog

from shared.contracts.ids import RunId
from shared.contracts.messages import FetchPage, RunRequested, encode
from shared.coordination.redis import RedisServer
from shared.messaging.ports import Bus, Message
from shared.runtime.dispatch import announce_closed
from shared.storage import runs
from shared.storage.database import Database
from shared.storage.replanning import replan

_log = structlog.get_logger()


async def resume(db: Database, bus: Bus, run_id: RunId, *, rescue: int = 0) -> None:
    """Replan one run and publish what it needs."""
    plan = await replan(db, run_id, rescue=rescue)
    for request in plan.requests:
        await bus.publish("requests", Message(RunRequested.KIND, encode(request)))
    for fetch in plan.fetches:
        await bus.publish("fetch", Message(FetchPage.KIND, encode(fetch)))
    await announce_closed(db, bus, run_id, plan.closed)


async def resume_all(db: Database, bus: Bus) -> int:
    """Every active run: for a bus that forgets when its process ends. Returns how many."""
    async with db.transaction() as conn:
        active = await runs.active_runs(conn)
    for run_id, _ in active:
        await resume(db, bus, run_id)
    return len(active)


class Reaper:
    """Rests while the broker or Redis is away: then nobody can make progress, and nobody is stalled."""

    def __init__(self, db: Database, bus: Bus, redis: RedisServer, stall_seconds: float) -> None:
        self._db = db
        self._bus = bus
        self._redis = redis
        self._stall_seconds = stall_seconds
        self._rested = False

    async def tick(self) -> int:
        """Resume what is stalled; returns how many runs."""
        if not (await self._bus.ready() and await self._redis.ready()):
            self._rested = True
            return 0
        if self._rested:  # give the workers one interval to come back by themselves
            self._rested = False
            return 0
        async with self._db.transaction() as conn:
            stalled = await runs.claim_stalled(conn, self._stall_seconds)
            forgotten = await runs.forgotten_runs(conn, self._stall_seconds)
        for run_id, rescue in stalled:
            _log.warning("run stalled: replanning", run_id=str(run_id), rescue=rescue)
            await resume(self._db, self._bus, run_id, rescue=rescue)
        for run_id in forgotten:
            await self._bus.publish("requests", Message(RunRequested.KIND, encode(RunRequested(run_id=run_id))))
        return len(stalled) + len(forgotten)
