"""The outbox's publishing side: at once by whoever wrote the rows, by the relay if that failed."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, cast

import structlog

from shared.contracts.ids import RunId
from shared.contracts.messages import RunChanged, encode
from shared.errors import PlatformAwayError
from shared.messaging.ports import ENDED, Bus, Message
from shared.messaging.topology import QueueName
from shared.storage import outbox
from shared.storage.closing import Closed
from shared.storage.database import Connection, Database

PATIENCE: Final = 0.6
"""Seconds that one publish may take: who asked waits for it, and the relay sends what was not confirmed by then."""

_log = structlog.get_logger()


async def dispatch(db: Database, bus: Bus, outbox_ids: Sequence[int]) -> None:
    """Publish these rows now. Never raises: a row that could not go stays, and the relay sends it."""
    if not outbox_ids:
        return
    try:
        async with db.transaction() as conn:
            await _publish(conn, bus, await outbox.take(conn, outbox_ids), PATIENCE)
    except PlatformAwayError as error:
        _log.info("outbox row left to the relay", reason=error.message, rows=len(outbox_ids))
    except TimeoutError:
        _log.info("outbox row left to the relay", reason="the broker did not confirm in time", rows=len(outbox_ids))


async def relay_once(db: Database, bus: Bus, *, older_than: float, limit: int = 200) -> int:
    """Publish rows that their writers could not; returns how many. Raises PlatformAwayError when it can't either."""
    async with db.transaction() as conn:
        rows = await outbox.take_due(conn, older_than, limit)
        await _publish(conn, bus, rows)
        return len(rows)


async def _publish(conn: Connection, bus: Bus, rows: Sequence[outbox.OutboxRow], patience: float | None = None) -> None:
    # The rows stay locked until the broker has confirmed: a crash in between publishes twice, never not at all.
    for row in rows:
        async with asyncio.timeout(patience):
            await bus.publish(cast("QueueName", row.queue), Message(row.kind, row.body))
    if rows:
        await outbox.remove(conn, [row.id for row in rows])


async def announce_closed(db: Database, bus: Bus, run_id: RunId, closed: Closed) -> None:
    """After a close: start the source's queued run, and tell whoever watches."""
    await dispatch(db, bus, closed.outbox_ids)
    if closed.entities_ended or closed.run_ended:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                headers = {} if closed.run_ended is None else {ENDED: closed.run_ended}
                await bus.announce(Message(RunChanged.KIND, encode(RunChanged(run_id=run_id)), headers))
