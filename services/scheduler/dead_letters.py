"""The end of every way out of the queues: store the message with its reason, and end its entity."""

from shared.contracts.ids import Entity, RunId
from shared.contracts.messages import FetchPage, PageFetched, PageTransformed, RunRequested, decode
from shared.errors import CATEGORIES, Category, PoisonMessageError
from shared.messaging.ports import Bus, Message
from shared.observability.metrics import Metrics
from shared.runtime.dispatch import announce_closed
from shared.storage import dead_letters
from shared.storage.closing import Failure, fail_entity
from shared.storage.database import Database

_PAGES: dict[str, type[FetchPage | PageFetched | PageTransformed]] = {
    model.KIND: model for model in (FetchPage, PageFetched, PageTransformed)
}
_REASONS = {"delivery_limit": "no worker survived handling this message"}


def addressed_run(message: Message) -> tuple[RunId | None, Entity | None]:
    """The run and entity that a dead message belongs to, as far as it can still be read."""
    try:
        if message.kind in _PAGES:
            page = decode(_PAGES[message.kind], message.body)
            return page.run_id, page.entity
        if message.kind == RunRequested.KIND:
            return decode(RunRequested, message.body).run_id, None
    except PoisonMessageError:
        return None, None
    return None, None


class DeadLetterHandler:
    """Consumes `dead`. Safe twice: the same letter is stored once, an ended entity stays ended."""

    def __init__(self, db: Database, bus: Bus, metrics: Metrics) -> None:
        self._db = db
        self._bus = bus
        self._metrics = metrics

    async def on_dead_letter(self, message: Message) -> None:
        """Raises PlatformAwayError alone: a dead letter is never dropped."""
        run_id, entity = addressed_run(message)
        reason = str(message.headers.get("reason", "unknown"))
        reason = _REASONS.get(reason, reason)
        named = str(message.headers.get("category", ""))
        category: Category = next((known for known in CATEGORIES if known == named), "INTERNAL_ERROR")
        queue = str(message.headers.get("queue", "unknown"))
        letter = dead_letters.DeadLetter(queue, message.kind, category, reason, message.body)
        if run_id is None:
            async with self._db.transaction() as conn:
                await dead_letters.store(conn, letter, None, None)
        else:
            async with self._db.for_run(run_id) as (conn, run):
                await dead_letters.store(conn, letter, run, entity)
            hint = str(message.headers.get("hint", "")) or "Replay it from the dead letters once the cause is mended."
            closed = await fail_entity(self._db, run_id, entity, Failure(category, reason, hint))
            await announce_closed(self._db, self._bus, run_id, closed)
        self._metrics.dead_letters.labels(queue).inc()
