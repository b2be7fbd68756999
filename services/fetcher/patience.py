"""A refused publish keeps its page here: no new slot is taken, no page is fetched again, it is only tried again."""

from collections.abc import Sequence

from shared.clock import Clock
from shared.errors import BackpressureError
from shared.messaging.ports import Bus, Message
from shared.messaging.topology import QueueName

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two tries."""


async def publish_patiently(bus: Bus, queue: QueueName, messages: Sequence[Message], clock: Clock) -> None:
    """Return when all are confirmed. One by one, so that a full queue makes us repeat nothing that it has taken."""
    for message in messages:
        pause = _FIRST_PAUSE
        while True:
            try:
                await bus.publish(queue, message)
            except BackpressureError:
                await clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                break
