"""On PageTransformed: write, then close what is complete, then tell whoever watches."""

import time
from collections import defaultdict
from collections.abc import Sequence

from services.writer.grouping import Tally
from services.writer.upsert import Upserter
from shared.contracts.ids import Entity, RunId
from shared.contracts.messages import PageTransformed, RunChanged, decode, encode
from shared.messaging.ports import Bus, Message
from shared.observability.metrics import Metrics
from shared.runtime.dispatch import announce_closed
from shared.storage.closing import try_close
from shared.storage.database import Database


class WriteHandler:
    """Takes whatever batches are there and writes those of one entity together."""

    def __init__(self, db: Database, bus: Bus, metrics: Metrics) -> None:
        self._db = db
        self._bus = bus
        self._metrics = metrics
        self._upserter = Upserter(db)

    async def on_pages_transformed(self, messages: Sequence[Message]) -> None:
        """Safe to call again with the same messages: a marked batch is not written twice, but it closes again."""
        groups: defaultdict[tuple[RunId, Entity], list[PageTransformed]] = defaultdict(list)
        for message in messages:
            batch = decode(PageTransformed, message.body)
            groups[batch.run_id, batch.entity].append(batch)
        for (run_id, entity), batches in groups.items():
            started = time.perf_counter()
            written = await self._upserter.write(run_id, entity, batches)
            self._observe(written, time.perf_counter() - started)
            closed = await try_close(self._db, run_id)
            await announce_closed(self._db, self._bus, run_id, closed)
            if written and closed.run_ended is None:
                await self._bus.announce(Message(RunChanged.KIND, encode(RunChanged(run_id=run_id))))

    def _observe(self, written: Sequence[Tally], seconds: float) -> None:
        if written:
            self._metrics.batch_seconds.observe(seconds)
        for tally in written:
            for outcome, rows in tally.outcomes().items():
                self._metrics.batch_rows.labels(outcome).inc(rows)
