"""How often one user may ask: a moving window per user, in this process."""

import math

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.identity import Identity
from services.gateway.problems import ProblemError
from shared.clock import Clock


class RequestPace:
    """Behind the authentication: counts by user, so that one cannot spend what another needs. More is a 429."""

    def __init__(self, app: ASGIApp, per_minute: int, clock: Clock) -> None:
        self._app = app
        self._item = RateLimitItemPerMinute(per_minute)
        self._clock = clock
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.get("state", {}).get("identity") if scope["type"] == "http" else None
        if isinstance(identity, Identity) and not await self._limiter.hit(self._item, str(identity.user_id)):
            window = await self._limiter.get_window_stats(self._item, str(identity.user_id))
            problem = too_many(self._item.amount, max(1, math.ceil(window.reset_time - self._clock.unix())))
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def too_many(per_minute: int, seconds: int) -> ProblemError:
    """429 with Retry-After."""
    return ProblemError(
        429,
        "too-many-requests",
        f"More than {per_minute} requests in a minute.",
        category="RATE_LIMITED",
        hint=f"Wait {seconds} s; ask for larger pages, or follow a run's events instead of asking again.",
        headers={"Retry-After": str(seconds)},
    )


def too_many_streams(most: int) -> ProblemError:
    """429 with Retry-After."""
    return ProblemError(
        429,
        "too-many-requests",
        f"You follow {most} runs already.",
        category="RATE_LIMITED",
        hint="Close streams that nobody reads; each ends with its run.",
        headers={"Retry-After": "5"},
    )
