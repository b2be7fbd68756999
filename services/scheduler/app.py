"""The scheduler's composition root: due sources, relay, reaper, dead letters, public requests, retention."""

from services.scheduler.dead_letters import DeadLetterHandler
from services.scheduler.due import BATCH, DueSources
from services.scheduler.public import PublicRequestHandler
from services.scheduler.reaper import Reaper
from services.scheduler.retention import forget
from services.scheduler.settings import SchedulerSettings
from shared.messaging.consumer import Consumer
from shared.messaging.settle import BusOnlyHooks
from shared.runtime.consuming import ConsumerService, ServiceObserver, every
from shared.runtime.dispatch import relay_once
from shared.runtime.resources import Resources
from shared.runtime.service import Service
from shared.storage import outbox

ROLE = "headrace_scheduler"
RELAY_SECONDS = 0.5
RELAY_AGE = 2.0
"""Seconds that whoever wrote an outbox row has for publishing it, before the relay does."""
REAPER_SECONDS = 10.0
RETENTION_SECONDS = 30.0


def build(settings: SchedulerSettings, resources: Resources) -> Service:
    """Any number of replicas may run: rows are shared out by SKIP LOCKED, there is no leader."""
    db, bus, clock, metrics = resources.need_database(), resources.bus, resources.clock, resources.metrics
    due = DueSources(db, bus, clock)
    reaper = Reaper(db, bus, resources.need_redis(), settings.stall_seconds)
    observer = ServiceObserver(resources)

    async def tick() -> None:
        while await due.tick() == BATCH:
            pass
        await due.tick_webhooks()
        metrics.due_unscheduled_age_seconds.set(await due.overdue_seconds())

    async def relay() -> None:
        async with db.transaction() as conn:
            depth, oldest = await outbox.depth(conn)
        metrics.outbox_depth.set(depth)
        metrics.outbox_oldest_age_seconds.set(oldest)
        if depth:
            await relay_once(db, bus, older_than=RELAY_AGE)

    async def reap() -> None:
        await reaper.tick()

    async def retain() -> None:
        await forget(db)

    return ConsumerService(
        "scheduler",
        resources,
        loops=(
            every(settings.tick_seconds, tick, clock),
            every(RELAY_SECONDS, relay, clock),
            every(REAPER_SECONDS, reap, clock),
            every(RETENTION_SECONDS, retain, clock),
        ),
        consumers=(
            Consumer(
                bus, "dead", DeadLetterHandler(db, bus, metrics).on_dead_letter,
                workers=1, prefetch=4, hooks=BusOnlyHooks(bus, "dead"), clock=clock, observer=observer,
                breaker_limit=None,
            ),
            Consumer(
                bus, "public", PublicRequestHandler(db, bus).on_sync_requested,
                workers=2, prefetch=8, hooks=BusOnlyHooks(bus, "public"), clock=clock, observer=observer,
                breaker_limit=None,
            ),
        ),
    )  # fmt: skip
