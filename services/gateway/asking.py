"""Request and reply over the queue, and what it means when no usable reply comes."""

import asyncio
import time
from dataclasses import dataclass
from typing import TypeVar

from services.gateway.deps import GatewayDeps
from services.gateway.problems import unavailable
from shared.contracts.ids import UserId
from shared.contracts.messages import MessageModel, decode, encode
from shared.errors import Category, PlatformAwayError, PoisonMessageError
from shared.messaging.ports import Message
from shared.messaging.topology import QueueName
from shared.observability.logging import get_logger

READY_SECONDS = 2.0
_WORTH_ASKING = 0.1
"""Of the time for a probe: with less left than that, nobody is called for an answer that would come too late."""

_Reply = TypeVar("_Reply", bound=MessageModel)
_log = get_logger("gateway")


@dataclass(frozen=True, slots=True)
class NoReply:
    """The queue works, but no usable reply came: a result for the caller, not an error of the request."""

    category: Category
    message: str
    hint: str | None = None


async def ask(
    deps: GatewayDeps, queue: QueueName, request: MessageModel, reply: type[_Reply], patience: float | None = None
) -> _Reply | NoReply:
    """Send and await the reply, for `patience` seconds at most; None: for `probe_timeout`.

    Raises a 503 problem when the queue is away.
    """
    began = time.monotonic()
    seconds = deps.probe_timeout if patience is None else min(patience, deps.probe_timeout)
    try:
        answer = await deps.bus.request(queue, Message(request.KIND, encode(request)), timeout=seconds)
        return decode(reply, answer.body)
    except PlatformAwayError as error:
        waited = time.monotonic() - began
        if waited >= seconds * 0.95 and await bus_ready(deps):
            return NoReply(
                "NETWORK_ERROR",
                f"No answer within {seconds:g} seconds.",
                "The source answers slowly, or no worker is free. Try again.",
            )
        raise unavailable(
            "The queue to the workers is away, so nothing could be tried.",
            "Try again in a moment; saving the source does not need the queue.",
        ) from error
    except PoisonMessageError as error:
        _log.error("reply_refused", reason=error.message)
        return NoReply("INTERNAL_ERROR", "There was no usable answer.")


async def ask_for(deps: GatewayDeps, user_id: UserId, request: MessageModel, reply: type[_Reply]) -> _Reply | NoReply:
    """Ask the fetcher for what a user's source may make slow: in the user's turn, and within `probe_timeout` in all.

    Raises a 503 problem when the queue is away.
    """
    began = time.monotonic()
    async with deps.probe_turns.turn(user_id, deps.probe_timeout) as mine:
        left = deps.probe_timeout - (time.monotonic() - began)
        if not mine or left < deps.probe_timeout * _WORTH_ASKING:
            return NoReply(
                "RATE_LIMITED",
                "Other tests or previews of yours were still waiting for their sources.",
                "Try again when they have ended.",
            )
        return await ask(deps, "probe", request, reply, left)


async def bus_ready(deps: GatewayDeps) -> bool:
    """True while the bus answers within READY_SECONDS that it works."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await deps.bus.ready()
    except TimeoutError:
        return False
