"""Many webhooks, one run: the first one waits a moment for others, then asks on behalf of all."""

import asyncio
from collections.abc import Sequence

from services.gateway.deps import GatewayDeps
from shared.contracts.ids import SourceId, UserId
from shared.errors import PlatformAwayError, PoisonMessageError
from shared.observability.logging import get_logger
from shared.runtime.dispatch import dispatch
from shared.storage import webhooks
from shared.storage.audit import Actor, record
from shared.storage.database import Connection
from shared.storage.runs import RunAsk, request_run
from shared.storage.sources import load_source

PAUSE_SECONDS = 0.3


class Coalescer:
    """Events are in the database before it hears of them: what it forgets, the scheduler finds."""

    def __init__(self, deps: GatewayDeps, pause: float = PAUSE_SECONDS) -> None:
        self._deps = deps
        self._pause = pause
        self._waiting: dict[SourceId, asyncio.Task[None]] = {}
        self._log = get_logger("gateway")

    def poke(self, source_id: SourceId, user_id: UserId) -> None:
        """The source has events."""
        if source_id not in self._waiting:
            self._waiting[source_id] = asyncio.create_task(self._ask_soon(source_id, user_id))

    async def close(self) -> None:
        """Forget what waits."""
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    async def _ask_soon(self, source_id: SourceId, user_id: UserId) -> None:
        await self._deps.clock.sleep(self._pause)
        del self._waiting[source_id]  # from here on a new event makes a new ask
        try:
            async with self._deps.database.for_tenant(user_id) as conn:
                outbox_ids = await self._ask(conn, source_id, user_id)
            await dispatch(self._deps.database, self._deps.bus, outbox_ids)
        except (PlatformAwayError, PoisonMessageError) as error:
            self._log.info("webhook_left_to_the_scheduler", source_id=str(source_id), reason=error.message)

    async def _ask(self, conn: Connection, source_id: SourceId, user_id: UserId) -> Sequence[int]:
        source = await load_source(conn, source_id)
        if source is None or not source.sync_enabled or source.paused_at is not None:
            return ()
        entities = await webhooks.waiting_entities(conn, source_id)
        if not entities:
            return ()
        ask = RunAsk(source_id, user_id, source.source_type, entities, "webhook", targeted=True)
        run = await request_run(conn, ask, merge=True)
        if run.created:
            await record(conn, user_id, Actor("webhook", str(source_id)), "run.requested", "run", run.run_id)
        return run.outbox_ids
