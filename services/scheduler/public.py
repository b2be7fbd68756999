"""On SyncRequested: somebody outside asks for a run. What they send is checked as if it were hostile."""

from shared.contracts.ids import Entity
from shared.contracts.messages import SyncRequested, decode
from shared.errors import PoisonMessageError
from shared.messaging.ports import Bus, Message
from shared.runtime.dispatch import dispatch
from shared.storage.database import Database
from shared.storage.queries import load_queries
from shared.storage.runs import RunAsk, request_run

_SQL = load_queries("services.scheduler", "scheduler.sql")


class PublicRequestHandler:
    """Consumes `public`. Asking twice with one run_id gives one run; without it, an active run absorbs the ask."""

    def __init__(self, db: Database, bus: Bus) -> None:
        self._db = db
        self._bus = bus

    async def on_sync_requested(self, message: Message) -> None:
        """Raises PoisonMessageError: malformed, a source that isn't that user's or is paused, a foreign run_id."""
        wish = decode(SyncRequested, message.body)
        async with self._db.transaction() as conn:
            source = await conn.fetchrow(_SQL["source_for_request"], wish.source_id)
            if source is None or source["user_id"] != wish.user_id:
                raise PoisonMessageError("source_id: no such source for this user")
            if not source["enabled"]:
                raise PoisonMessageError("source_id: the source is paused or not enabled; replay this once it is")
            offered: tuple[Entity, ...] = tuple(source["entities"])
            entities = wish.entities or offered
            if missing := [entity for entity in entities if entity not in offered]:
                raise PoisonMessageError(f"entities: this source has no {', '.join(missing)}")
            ask = RunAsk(
                source_id=wish.source_id,
                user_id=wish.user_id,
                source_type=source["source_type"],
                entities=entities,
                trigger="external",
                mode=wish.mode or "incremental",
                run_id=wish.run_id,
            )
            requested = await request_run(conn, ask, merge=True)
        await dispatch(self._db, self._bus, requested.outbox_ids)
