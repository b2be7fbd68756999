"""Due sources become runs: in each replica at once, without a leader."""

from datetime import datetime

import structlog

from shared.clock import Clock
from shared.contracts.schedule import INTERVALS, next_after
from shared.messaging.ports import Bus
from shared.runtime.dispatch import dispatch
from shared.storage import webhooks
from shared.storage.database import Database
from shared.storage.queries import load_queries
from shared.storage.runs import RunAsk, request_run

_SQL = load_queries("services.scheduler", "scheduler.sql")
_log = structlog.get_logger()
BATCH = 50
"""Sources per transaction."""
WEBHOOK_PATIENCE = 5.0
"""Seconds that the gateway has for asking itself."""


def next_time(frequency: str, scheduled: datetime, now: datetime) -> datetime | None:
    """The next time after `now` that keeps the phase of `scheduled`: missed ticks become one run, not many."""
    interval = INTERVALS.get(frequency)
    if interval is None:
        return next_after(frequency, now)
    missed = max(0, (now - scheduled) // interval)
    return scheduled + (missed + 1) * interval


class DueSources:
    """Looks for sources whose time has come."""

    def __init__(self, db: Database, bus: Bus, clock: Clock) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock

    async def tick(self) -> int:
        """Ask for a run of each due source; returns how many were due. A source's active run absorbs the ask."""
        outbox_ids: list[int] = []
        async with self._db.transaction() as conn:
            rows = await conn.fetch(_SQL["due_sources"], BATCH)
            for row in rows:
                ask = RunAsk(row["id"], row["user_id"], row["source_type"], tuple(row["entities"]), "schedule")
                outbox_ids.extend((await request_run(conn, ask, merge=True)).outbox_ids)
                try:
                    upcoming = next_time(row["sync_frequency"], row["next_sync_at"], self._clock.now())
                except ValueError:
                    # refused when it was entered; a zone can still vanish with an update of the zone data
                    _log.exception("a source's frequency cannot be read", source_id=str(row["id"]))
                    upcoming = None
                await conn.execute(_SQL["set_next"], row["id"], upcoming)
        await dispatch(self._db, self._bus, outbox_ids)
        return len(rows)

    async def tick_webhooks(self) -> int:
        """Ask for a run where webhook events wait and the gateway that took them has asked for none."""
        outbox_ids: list[int] = []
        async with self._db.transaction() as conn:
            waiting = await webhooks.waiting_sources(conn, WEBHOOK_PATIENCE, BATCH)
            for each in waiting:
                ask = RunAsk(each.source_id, each.user_id, each.source_type, each.entities, "webhook", targeted=True)
                outbox_ids.extend((await request_run(conn, ask, merge=True)).outbox_ids)
        await dispatch(self._db, self._bus, outbox_ids)
        return len(waiting)

    async def overdue_seconds(self) -> float:
        """How long the most overdue source has waited."""
        async with self._db.transaction() as conn:
            age: float = await conn.fetchval(_SQL["overdue"])
            return age
