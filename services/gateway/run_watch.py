"""Who waits for which run: one listener on the bus for all event streams of this process."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from shared.clock import Clock
from shared.contracts.ids import RunId, UserId
from shared.contracts.messages import RunChanged, decode
from shared.errors import PlatformAwayError, PoisonMessageError
from shared.messaging.ports import Bus
from shared.observability.logging import get_logger

RETRY_SECONDS = 1.0
MOST_STREAMS = 200
"""Of one user, in this process: it holds a thousand connections, and nobody may hold them all."""


class RunWatch:
    """Wakes streams when their run changed. Losing an announcement loses nothing: streams also look by themselves."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._waiting: defaultdict[RunId, set[asyncio.Event]] = defaultdict(set)
        self._streams: Counter[UserId] = Counter()
        self._log = get_logger("gateway")
        self.closing = False

    def is_full(self, user_id: UserId) -> bool:
        """True when the user follows as many runs as one may."""
        return self._streams[user_id] >= MOST_STREAMS

    @contextmanager
    def watching(self, run_id: RunId, user_id: UserId) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the run, and when the process ends."""
        event = asyncio.Event()
        self._waiting[run_id].add(event)
        self._streams[user_id] += 1
        try:
            yield event
        finally:
            self._streams[user_id] -= 1
            if not self._streams[user_id]:
                del self._streams[user_id]
            self._waiting[run_id].discard(event)
            if not self._waiting[run_id]:
                del self._waiting[run_id]

    def close(self) -> None:
        """Let every stream end."""
        self.closing = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def listen(self) -> None:
        """Runs until cancelled; a bus that is away is asked again."""
        while True:
            try:
                async with self._bus.listen() as messages:
                    async for message in messages:
                        if message.kind == RunChanged.KIND:
                            self._wake(message.body)
            except PlatformAwayError as error:
                self._log.info("no_announcements", reason=error.message)
            await self._clock.sleep(RETRY_SECONDS)

    def _wake(self, body: bytes) -> None:
        try:
            run_id = decode(RunChanged, body).run_id
        except PoisonMessageError as error:
            self._log.warning("announcement_ignored", reason=error.message)
            return
        for event in self._waiting.get(run_id, ()):
            event.set()
