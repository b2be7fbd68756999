"""What the writer cannot write ends its entity."""

from shared.contracts.messages import PageTransformed, decode
from shared.errors import Category
from shared.messaging.ports import Bus, Message
from shared.runtime.dispatch import announce_closed
from shared.storage.closing import Failure, fail_entity
from shared.storage.database import Database


class WriterHooks:
    """For the queue `write`; the writer calls no vendor, so it neither parks nor carries slots."""

    def __init__(self, db: Database, bus: Bus) -> None:
        self._db = db
        self._bus = bus

    async def on_retry(self, message: Message, error: BaseException, resume_at: float) -> None:
        """A bug's second chance: nobody has to know."""

    async def on_park(self, message: Message, resume_at: float) -> None:
        """Never."""

    def with_slot(self, message: Message, slot: str) -> Message:  # noqa: ARG002 - the protocol's shape
        """Never."""
        return message

    async def on_failed(self, message: Message, category: Category, text: str, hint: str) -> None:
        """End the entity."""
        batch = decode(PageTransformed, message.body)
        closed = await fail_entity(self._db, batch.run_id, batch.entity, Failure(category, text, hint))
        await announce_closed(self._db, self._bus, batch.run_id, closed)
