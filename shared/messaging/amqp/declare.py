"""The topology on the broker: what its parts are called there, and how they are declared.

Declaring again is harmless; a changed argument is refused by the broker (406), so such a change needs a new version
in the queue's name. Everything that an operator may want to tune (lengths of delay queues, memory) is left to policies.

Who publishes from outside gets a broker user of its own with the right to write to the public exchange and nothing
else: `rabbitmqctl set_permissions -p VHOST USER '^$' '^headrace\\.public$' '^$'`.
"""

from collections.abc import Sequence

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange
from pamqp.common import FieldTable  # how the library types a queue's arguments

from shared.messaging.topology import (
    EVENTS_EXCHANGE,
    EXCHANGE,
    PUBLIC_EXCHANGE,
    PUBLIC_KINDS,
    QUEUES,
    TOPOLOGY,
    QueueName,
    QueueSpec,
)


class Names:
    """Names on the broker; `prefix` keeps tests apart on a shared one."""

    def __init__(self, prefix: str = "") -> None:
        self.exchange = f"{prefix}{EXCHANGE}"
        self.events = f"{prefix}{EVENTS_EXCHANGE}"
        self.public = f"{prefix}{PUBLIC_EXCHANGE}"
        self._prefix = prefix
        self._by_physical: dict[str, QueueName] = {self.queue(name): name for name in QUEUES}

    def queue(self, name: QueueName) -> str:
        """The version is raised when an argument of the queue has to change."""
        return f"{self._prefix}{EXCHANGE}.{name}.v1"

    def queue_name(self, physical: str) -> QueueName | None:
        """The reverse of `queue`."""
        return self._by_physical.get(physical)

    def delay_exchange(self, step: int) -> str:
        return f"{self._prefix}{EXCHANGE}.delay.{step}"

    def delay_queue(self, step: int) -> str:
        return f"{self._prefix}{EXCHANGE}.delay.{step}.v1"

    def inbox(self, purpose: str, unique: str) -> str:
        """A queue that lives as long as its connection."""
        return f"{self._prefix}{EXCHANGE}.{purpose}.{unique}"


def queue_arguments(spec: QueueSpec, names: Names) -> FieldTable:
    """Quorum, so that a confirm means a majority has it on disk; the delivery limit is always explicit and positive."""
    arguments: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": spec.delivery_limit}
    if spec.max_length is not None:
        arguments |= {"x-max-length": spec.max_length, "x-overflow": "reject-publish"}
    if spec.dead_letters:
        arguments |= {**_dead_letters_to(names.exchange), "x-dead-letter-routing-key": "dead"}
    return arguments


def delay_arguments(step: int, names: Names) -> FieldTable:
    """One time to live per queue, since a queue expires at its head only; the routing key is the target's and stays."""
    return {"x-queue-type": "quorum", "x-message-ttl": step * 1000, **_dead_letters_to(names.exchange)}


def _dead_letters_to(exchange: str) -> FieldTable:
    return {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # without it the strategy silently falls back to at-most-once
    }


async def declare_queue(channel: AbstractChannel, spec: QueueSpec, names: Names) -> None:
    """One work queue and its way in."""
    exchange = await _declare_exchange(channel, names)
    queue = await channel.declare_queue(names.queue(spec.name), durable=True, arguments=queue_arguments(spec, names))
    await queue.bind(exchange, routing_key=spec.name)


async def declare_all(channel: AbstractChannel, names: Names, delay_steps: Sequence[int]) -> None:
    """Every exchange and queue that must be there before the first publish."""
    for spec in TOPOLOGY:
        await declare_queue(channel, spec, names)
    for step in delay_steps:
        entrance = await channel.declare_exchange(names.delay_exchange(step), ExchangeType.FANOUT, durable=True)
        waiting = await channel.declare_queue(
            names.delay_queue(step), durable=True, arguments=delay_arguments(step, names)
        )
        await waiting.bind(entrance)
    await declare_events(channel, names)
    # a topic exchange, so that the broker can limit a user to routing keys
    public = await channel.declare_exchange(names.public, ExchangeType.TOPIC, durable=True)
    intake = await channel.get_queue(names.queue("public"), ensure=False)
    for kind in PUBLIC_KINDS:
        await intake.bind(public, routing_key=kind)


async def declare_events(channel: AbstractChannel, names: Names) -> AbstractExchange:
    """Announcements go to whoever listens now."""
    return await channel.declare_exchange(names.events, ExchangeType.FANOUT, durable=True)


async def _declare_exchange(channel: AbstractChannel, names: Names) -> AbstractExchange:
    return await channel.declare_exchange(names.exchange, ExchangeType.DIRECT, durable=True)
