"""What a decision does: tell the run's keeper, publish what has to come, say what became of it."""

from typing import Protocol, assert_never

import structlog

from shared.clock import Clock
from shared.errors import Category
from shared.messaging.decisions import MAX_REASON_CHARS, DeadLetter, FailStep, Park, RetryAfter, with_attempt
from shared.messaging.ports import Bus, HeaderValue, Message
from shared.messaging.topology import MAX_DELAY, QueueName

PARK_LEAD = 0.3
"""Seconds before its slot that a parked message comes back; the worker waits the rest."""
DEAD_AGAIN_DELAY = 300.0
"""Seconds until a dead letter that could not be stored is tried again."""

Settled = RetryAfter | Park | FailStep | DeadLetter

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ConsumerHooks(Protocol):
    """How a service keeps its runs informed. Called before the message is acknowledged, so maybe more than once.

    PlatformAwayError pauses the consumer and the hook is called again; any other error dead-letters the message.
    """

    async def on_retry(self, message: Message, error: BaseException, resume_at: float) -> None:
        """The step will be tried again at `resume_at` (Unix seconds)."""
        ...

    async def on_park(self, message: Message, resume_at: float) -> None:
        """The step waits for the vendor's budget until `resume_at` (Unix seconds)."""
        ...

    def with_slot(self, message: Message, slot: str) -> Message:
        """The same message, carrying the reserved slot."""
        ...

    async def on_failed(self, message: Message, category: Category, text: str, hint: str) -> None:
        """End the message's entity with this. PoisonMessageError when the message names none."""
        ...


class BusOnlyHooks:
    """For a service without a database: what fails goes to the dead letters, whose consumer ends the entity."""

    def __init__(self, bus: Bus, queue: QueueName) -> None:
        self._bus = bus
        self._queue: QueueName = queue

    async def on_retry(self, message: Message, error: BaseException, resume_at: float) -> None:
        """Nobody to tell."""

    async def on_park(self, message: Message, resume_at: float) -> None:
        """Nobody to tell."""

    def with_slot(self, message: Message, slot: str) -> Message:  # noqa: ARG002 - the protocol's shape
        """It calls no vendor, so it has no slots."""
        return message

    async def on_failed(self, message: Message, category: Category, text: str, hint: str) -> None:
        await bury(self._bus, self._queue, message, text, category, hint)


class Settler:
    """Carries decisions out, all but the acknowledgement."""

    def __init__(self, bus: Bus, queue: QueueName, hooks: ConsumerHooks, clock: Clock) -> None:
        self._bus = bus
        self._queue: QueueName = queue
        self._hooks = hooks
        self._clock = clock

    async def act(self, message: Message, error: BaseException, decision: Settled) -> None:
        """Return when the message may be acknowledged. Raises PlatformAwayError (do it again) or the hook's error."""
        match decision:
            case RetryAfter(seconds, counter):
                await self._hooks.on_retry(message, error, self._clock.unix() + seconds)
                again = Message(message.kind, message.body, with_attempt(message.headers, counter))
                await self._bus.publish(self._queue, again, delay=seconds)
                bug = error if counter == "attempt_internal" else None  # the others explain themselves
                _log.info("message retried", error=type(error).__name__, counter=counter, seconds=seconds, exc_info=bug)
            case Park(until, slot):
                await self._hooks.on_park(message, until)
                delay = until - self._clock.unix() - PARK_LEAD
                await self._bus.publish(
                    self._queue, self._hooks.with_slot(message, slot), delay=min(max(delay, 0.0), MAX_DELAY)
                )
            case FailStep(category, text, hint):
                await self._hooks.on_failed(message, category, text, hint)
                _log.warning("step failed", category=category, error=text)
            case DeadLetter(reason, category):
                await bury(self._bus, self._queue, message, reason, category)
                _log.error("message dead-lettered", reason=reason, category=category)
            case _:
                assert_never(decision)


async def bury(bus: Bus, queue: QueueName, message: Message, reason: str, category: Category, hint: str = "") -> None:
    """To the dead letters. One that is there already keeps its own reason, and waits, so that it doesn't spin."""
    if queue == "dead":
        await bus.publish("dead", message, delay=DEAD_AGAIN_DELAY)
    else:
        await bus.publish("dead", dead_letter(message, queue, reason, category, hint))


def dead_letter(message: Message, queue: QueueName, reason: str, category: Category, hint: str = "") -> Message:
    """The message as the queue `dead` takes it: kind and body unchanged, the reason in the headers."""
    headers: dict[str, HeaderValue] = {
        **message.headers,
        "queue": queue,
        "reason": reason[:MAX_REASON_CHARS],
        "category": category,
        "hint": hint[:MAX_REASON_CHARS],
    }
    return Message(message.kind, message.body, headers)
