"""The bus as its users see it. Two adapters keep these promises: `memory.py` and `amqp.py`; one suite tests both."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from shared.errors import PoisonMessageError
from shared.messaging.topology import MAX_BODY_BYTES, MAX_DELAY, QueueName

HeaderValue = str | int
"""No float: the AMQP library sends them in single precision, which moves a Unix time by a minute."""
SENT: Final = "sent"
"""Header: Unix milliseconds from which on somebody may handle the message."""
TRACE: Final = "trace"
"""Header: the W3C traceparent of who sent it."""
ENDED: Final = "ended"
"""Header of an announcement: the status with which its run has ended."""


@dataclass(frozen=True, slots=True)
class Message:
    """What travels: `kind` names the model in `shared.contracts.messages`, `body` is its bytes."""

    kind: str
    body: bytes
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    """Ours alone: `attempt_transient`, `attempt_rate_limited`, `attempt_internal`, `sent` (ints), `trace`; of an
    announcement `ended`; on the queue `dead` also `queue`, `reason`, `category`, `hint` (`reason` is `delivery_limit`
    when the broker gave the message up)."""


class Delivery(Protocol):
    """One message in the hands of one worker; it comes back to the queue if neither settled nor the worker alive."""

    @property
    def message(self) -> Message: ...

    @property
    def queue(self) -> QueueName: ...

    @property
    def redelivered(self) -> bool: ...

    async def ack(self) -> None:
        """Done. Never raises for a lost connection: the message then simply comes again."""
        ...

    async def requeue(self) -> None:
        """Back to the queue; spends one of the queue's delivery limit. For shutdown and platform outages only."""
        ...

    async def reply(self, message: Message) -> None:
        """Answer a request; does nothing when nobody waits any more."""
        ...


class Subscription(Protocol):
    """Deliveries of one queue, at most `prefetch` unsettled at a time."""

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Several tasks may iterate at once; each delivery goes to one of them."""
        ...

    def take_nowait(self) -> Delivery | None:
        """A delivery that is here already, for who gathers a batch; None when there is none."""
        ...

    async def stop(self) -> None:
        """No new deliveries; the iterator ends after those already handed over. Unstarted ones go back."""
        ...


class QueueState(NamedTuple):
    """`ready`: messages that wait, none that a worker holds; `consumers`: subscriptions, of this and other processes.
    Both approximate: a broker learns of a worker that vanished some time later."""

    ready: int
    consumers: int


class Bus(Protocol):
    """At-least-once transport. Safe to use from many tasks at once."""

    async def publish(self, queue: QueueName, message: Message, *, delay: float = 0) -> None:
        """Return when the broker has the message safely. `delay` in seconds, at most MAX_DELAY, kept to within
        a second. A full bounded queue holds a delayed message back for longer.

        Raises BackpressureError when a bounded queue is full, PlatformAwayError when the outcome is unknown (the
        message may still arrive: publish again, consumers are idempotent), PoisonMessageError when the body is larger
        than MAX_BODY_BYTES.
        """
        ...

    async def publish_many(self, queue: QueueName, messages: Sequence[Message]) -> None:
        """All of them, pipelined; raises as `publish` does if any is not confirmed (others may have arrived)."""
        ...

    def subscribe(self, queue: QueueName, *, prefetch: int) -> AbstractAsyncContextManager[Subscription]:
        """Consume a queue until the context ends. Survives a broker restart."""
        ...

    async def request(self, queue: QueueName, message: Message, *, timeout: float) -> Message:  # noqa: ASYNC109 - travels as the message's expiry
        """Publish and await the reply. Raises PlatformAwayError when no answer came within `timeout` seconds."""
        ...

    async def announce(self, message: Message) -> None:
        """Tell every listener, best effort: losing an announcement loses nothing."""
        ...

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Announcements from now on. A listener that doesn't keep up loses the oldest."""
        ...

    async def depth(self, queue: QueueName) -> int:
        """Messages waiting in the queue (approximate)."""
        ...

    async def inspect(self, queue: QueueName) -> QueueState:
        """The queue as an operator wants to see it. Raises PlatformAwayError."""
        ...

    async def ready(self) -> bool:
        """True while publishing and consuming can be expected to work."""
        ...

    async def close(self) -> None:
        """Stop everything; unsettled messages go back to their queues."""
        ...


def check_publishable(message: Message, delay: float = 0) -> None:
    """What both adapters refuse alike, before anything is sent."""
    if len(message.body) > MAX_BODY_BYTES:
        raise PoisonMessageError(f"{message.kind}: {len(message.body)} bytes are more than a message may have")
    if delay > MAX_DELAY:
        raise ValueError(f"a delay of {delay:.0f} s is longer than the bus keeps messages back")
