"""A message as AMQP properties and back: what is trusted of what arrives."""

from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, DeliveryMode
from pamqp.common import FieldTable  # how the library types nested headers

from shared.messaging.amqp.declare import Names
from shared.messaging.ports import HeaderValue, Message

NOT_BEFORE = "not_before"
"""Header: Unix milliseconds before which nobody gets the message. The adapter's own; users of the port never see it.
Whole ones, since the library sends a float in single precision."""


def to_amqp(
    message: Message,
    *,
    not_before: float | None = None,
    expires_in: float | None = None,
    reply_to: str | None = None,
    correlation_id: str | None = None,
    persistent: bool = True,
) -> aio_pika.Message:
    """`not_before` in Unix seconds, `expires_in` in seconds.

    The message id is fresh each time: the client library matches returns by it.
    """
    headers: dict[str, Any] = dict(message.headers)
    if not_before is not None:
        headers[NOT_BEFORE] = round(not_before * 1000)
    return aio_pika.Message(
        message.body,
        headers=headers,
        content_type="application/json",
        type=message.kind,
        message_id=uuid4().hex,
        delivery_mode=DeliveryMode.PERSISTENT if persistent else DeliveryMode.NOT_PERSISTENT,
        expiration=expires_in,
        reply_to=reply_to,
        correlation_id=correlation_id,
    )


def from_amqp(incoming: AbstractIncomingMessage, names: Names) -> Message:
    """What came through the public exchange brings its body and nothing else: its headers are a stranger's."""
    own: dict[str, HeaderValue] = {}
    if is_public(incoming, names):
        kind = _first_routing_key(incoming)
    else:
        kind = incoming.type or ""
        own = {
            name: value
            for name, value in incoming.headers.items()
            if isinstance(value, (str, int)) and not name.startswith("x-") and name != NOT_BEFORE
        }
    return Message(kind, incoming.body, _broker_reason(incoming, names) | own)


def is_public(incoming: AbstractIncomingMessage, names: Names) -> bool:
    """True when a stranger published it, even if the broker has moved it to the dead letters since."""
    return names.public in (incoming.exchange, *(death.get("exchange") for death in _deaths(incoming)))


def not_before(incoming: AbstractIncomingMessage, names: Names) -> float:
    """Unix seconds; 0 when the message was not delayed."""
    value = incoming.headers.get(NOT_BEFORE)
    return value / 1000 if isinstance(value, int) and not is_public(incoming, names) else 0.0


def _broker_reason(incoming: AbstractIncomingMessage, names: Names) -> dict[str, HeaderValue]:
    """The headers that a dead letter of ours has, for one that the broker made."""
    for death in _deaths(incoming):
        queue = names.queue_name(str(death.get("queue")))
        if queue is not None and death.get("reason") != "expired":
            return {"queue": queue, "reason": str(death.get("reason")), "category": "INTERNAL_ERROR"}
    return {}


def _first_routing_key(incoming: AbstractIncomingMessage) -> str:
    """The routing key that it was published with."""
    deaths = _deaths(incoming)
    keys = deaths[-1].get("routing-keys") if deaths else None
    return str(keys[0]) if isinstance(keys, list) and keys else incoming.routing_key or ""


def _deaths(incoming: AbstractIncomingMessage) -> list[FieldTable]:
    """The broker's record of queues that the message left without an acknowledgement, the latest first."""
    deaths = incoming.headers.get("x-death")
    return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []
