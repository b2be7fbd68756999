"""The shared budget of an upstream account, as its users see it. `limiter.py` keeps these promises in Redis."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` calls in any `seconds`, wherever that span begins, counted where they arrive."""

    limit: int
    seconds: float

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0:
            raise ValueError(f"a window needs a positive limit and length, not {self.limit} per {self.seconds} s")


@dataclass(frozen=True, slots=True)
class Budget:
    """What one source may spend of one account. Of several members of a scope the tightest limit holds for all."""

    scope: str
    """The account as the vendor counts it, with its limit class."""
    windows: tuple[Window, ...]
    """All hold at once; empty: only a 429 block and `concurrency` hold calls back."""
    concurrency: int | None = None
    """Calls in flight at once, over all processes; None: no cap."""
    member: str = ""
    """Whose limits these are (a source's id). A member's newer limits replace its older ones at once; without a name
    they are remembered for an hour."""


TurnState = Literal["go", "wait", "busy", "far", "void"]


@dataclass(frozen=True, slots=True)
class Turn:
    """The limiter's answer.

    `go`: send at once. `wait`: the slot is good `wait` seconds from now. `busy`: all concurrency leases are taken, ask
    again in a moment. `far`: nothing was reserved, the budget is promised away for longer than the horizon.
    `void`: this slot is worth nothing (unknown, used, missed, or in a 429 block); reserve anew.
    """

    state: TurnState
    slot: str = ""
    at: float = 0.0
    """Unix seconds of Redis' clock from which all calls of the slot may be made."""
    wait: float = 0.0
    """Seconds from now until `at`."""
    leased: bool = False
    """With `go`: a concurrency lease is held until `release`. Any member's cap makes it so."""


History = Callable[[str], Awaitable[Sequence[tuple[float, int]]]]
"""scope -> (Unix seconds of the latest moment the calls can have been made, number of calls), spans of a minute at
most. It must know of a call before the call is sent. May raise PlatformAwayError: then nothing is granted."""


class RateLimiter(Protocol):
    """One limiter for all processes. Every method raises PlatformAwayError when Redis is away: it fails closed."""

    async def reserve(
        self, budget: Budget, *, cost: int = 1, hold: float | None = None, start: str | None = None
    ) -> Turn:
        """Promise the next `cost` calls to the caller: `wait` or `far`. First come, first served over all processes.

        A slot of one call is good at its time only. The calls of a larger slot may be made one after the other from
        `at` on, for `hold` seconds. With `start` (a lease of the caller's making) the first call is started at once
        where that is possible: `go`, or `busy` and nothing is reserved. Raises ConfigurationError when the limit is
        so small that the calls of one step cannot follow each other in reasonable time.
        """
        ...

    async def redeem(self, budget: Budget, slot: str) -> Turn:
        """How long a slot that was carried in a parked message still has to wait: `wait` (perhaps 0) or `void`."""
        ...

    async def start(self, budget: Budget, slot: str, lease: str) -> Turn:
        """The last check before one call of the slot is sent: `go`, `wait`, `busy` or `void`; `go` takes the lease."""
        ...

    async def renew(self, budget: Budget, lease: str) -> None:
        """The call is still in flight."""
        ...

    async def release(self, budget: Budget, lease: str) -> None:
        """The call is over."""
        ...

    async def unused(self, budget: Budget, slot: str) -> None:
        """Give back the calls of the slot that were not started."""
        ...

    async def block(self, scope: str, seconds: float) -> None:
        """The vendor said 429: nobody calls for `seconds` (at most 1 h); slots that fall inside are void."""
        ...
