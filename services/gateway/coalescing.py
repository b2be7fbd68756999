"""Many webhooks, one run: the first one waits a moment for others, then asks on behalf of all."""

import asyncio

from services.gateway.deps import GatewayDeps
from shared.contracts.ids import SourceId
from shared.errors import PlatformAwayError, PoisonMessageError
from shared.observability.logging import get_logger
from shared.runtime.dispatch import dispatch
from shared.storage import webhooks
from shared.storage.audit import Actor, record
from shared.storage.runs import RunAsk, request_run
from shared.storage.webhooks import WaitingSource

PAUSE_SECONDS = 0.3
"""From the first event to the ask."""
SPACING_SECONDS = 1.0
"""From one ask of a source to its next: in a storm, runs that follow each other closely take what answers need."""


class Coalescer:
    """Events are in the database before it hears of them: what it forgets, the scheduler finds."""

    def __init__(self, deps: GatewayDeps) -> None:
        self._deps = deps
        self._waiting: dict[SourceId, asyncio.Task[None]] = {}
        self._poked: set[SourceId] = set()
        self._log = get_logger("gateway")

    def poke(self, source_id: SourceId) -> None:
        """The source has events."""
        self._poked.add(source_id)
        if source_id not in self._waiting:
            self._waiting[source_id] = asyncio.create_task(self._ask_soon(source_id))

    async def close(self) -> None:
        """Forget what waits."""
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    async def _ask_soon(self, source_id: SourceId) -> None:
        try:
            await self._deps.clock.sleep(PAUSE_SECONDS)
            while source_id in self._poked:
                self._poked.discard(source_id)  # from here on a new event makes a new ask
                await self._ask(source_id)
                await self._deps.clock.sleep(SPACING_SECONDS)
        finally:
            self._poked.discard(source_id)
            del self._waiting[source_id]

    async def _ask(self, source_id: SourceId) -> None:
        try:
            need = await webhooks.needed_run(self._deps.database, source_id)
            if need is not None:
                await self._request(need)
        except (PlatformAwayError, PoisonMessageError) as error:
            self._log.info("webhook_left_to_the_scheduler", source_id=str(source_id), reason=error.message)

    async def _request(self, need: WaitingSource) -> None:
        ask = RunAsk(need.source_id, need.user_id, need.source_type, need.entities, "webhook", targeted=True)
        async with self._deps.database.for_tenant(need.user_id) as conn:
            run = await request_run(conn, ask, merge=True)
            if run.created:
                actor = Actor("webhook", str(need.source_id))
                await record(conn, need.user_id, actor, "run.requested", "run", run.run_id)
        await dispatch(self._deps.database, self._deps.bus, run.outbox_ids)
