"""Keeps the run informed of what its messages wait for, and ends what has failed."""

from datetime import UTC, datetime

from shared.contracts.messages import FetchPage, MessageModel, RunRequested, decode, encode
from shared.errors import Category, PoisonMessageError, RateLimitedError
from shared.messaging.ports import Bus, Message
from shared.runtime.dispatch import announce_closed
from shared.storage import runs
from shared.storage.closing import Failure, fail_entity
from shared.storage.database import Database


class FetcherHooks:
    """For the queues `requests` and `fetch`."""

    def __init__(self, db: Database, bus: Bus) -> None:
        self._db = db
        self._bus = bus

    async def on_retry(self, message: Message, error: BaseException, resume_at: float) -> None:
        """The entity rests until then."""
        await self._wait(message, "rate_limit" if isinstance(error, RateLimitedError) else "retry", resume_at)

    async def on_park(self, message: Message, resume_at: float) -> None:
        """The entity waits for its slot."""
        await self._wait(message, "rate_limit", resume_at)

    def with_slot(self, message: Message, slot: str) -> Message:
        """The same page, carrying its slot."""
        page = decode(FetchPage, message.body)
        return Message(message.kind, encode(page.model_copy(update={"slot": slot or None})), message.headers)

    async def on_failed(self, message: Message, category: Category, text: str, hint: str) -> None:
        """A page ends its entity, a request ends its run."""
        failed = self._read(message)
        entity = failed.entity if isinstance(failed, FetchPage) else None
        if not isinstance(failed, FetchPage | RunRequested):
            raise PoisonMessageError(f"{message.kind} names no run")
        closed = await fail_entity(self._db, failed.run_id, entity, Failure(category, text, hint))
        await announce_closed(self._db, self._bus, failed.run_id, closed)

    async def _wait(self, message: Message, waiting_on: str, resume_at: float) -> None:
        page = self._read(message)
        if not isinstance(page, FetchPage):
            return
        async with self._db.for_run(page.run_id) as (conn, run):
            if run is not None:
                await runs.set_waiting(
                    conn, page.run_id, page.entity, waiting_on, datetime.fromtimestamp(resume_at, UTC)
                )

    @staticmethod
    def _read(message: Message) -> MessageModel:
        return decode(FetchPage if message.kind == FetchPage.KIND else RunRequested, message.body)
