"""How long a test or a sample may hold one of the workers that all users share."""

import asyncio

from shared.contracts.messages import MessageModel, encode
from shared.messaging.consumer import Handler
from shared.messaging.ports import Message

PROBE_SECONDS = 55.0
"""As long as the gateway waits. What goes on after that works for nobody, while its user has another turn already."""
LATE_MESSAGE = f"The source did not answer within {PROBE_SECONDS:g} seconds."
LATE_HINT = "Test it again later, or with fewer entities."


def in_time(handler: Handler, late: MessageModel, seconds: float = PROBE_SECONDS) -> Handler:
    """The handler, which answers `late` when it takes longer than `seconds`, and hangs up on the source."""

    async def handle(message: Message) -> Message | None:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await handler(message)
        except TimeoutError:
            if not limit.expired():
                raise
            return Message(late.KIND, encode(late))

    return handle
