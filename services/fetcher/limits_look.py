"""On LimitsRequested: what the limiter knows of accounts, for administrators."""

from datetime import UTC, datetime

from shared.contracts.messages import LimitsReply, LimitsRequested, ScopeLimits, WindowUsed, decode, encode
from shared.coordination.ports import RateLimiter, ScopeState
from shared.messaging.ports import Message


class LimitsHandler:
    """Looks, and changes nothing."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def on_limits_requested(self, message: Message) -> Message:
        """The reply. Raises PlatformAwayError."""
        request = decode(LimitsRequested, message.body)
        found = {scope: _shown(await self._limiter.look(scope)) for scope in request.scopes}
        return Message(LimitsReply.KIND, encode(LimitsReply(scopes=found)))


def _shown(state: ScopeState) -> ScopeLimits:
    return ScopeLimits(
        windows=tuple(
            WindowUsed(
                limit=window.limit,
                seconds=window.seconds,
                used=window.used,
                remaining=max(0, window.limit - window.used),
            )
            for window in state.windows
        ),
        concurrency=state.concurrency,
        in_flight=state.in_flight,
        waiting=state.waiting,
        blocked_until=None if state.blocked_until is None else datetime.fromtimestamp(state.blocked_until, UTC),
    )
