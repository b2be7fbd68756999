"""What the fetchers share: the budget of an upstream account, and vendors' answers. Kept in Redis by `limiter.py` and
`response_cache.py`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class WindowUse:
    """A window of a scope, as counted at the vendor's side. `used`: calls in the span that ends now."""

    limit: int
    seconds: float
    used: int


@dataclass(frozen=True, slots=True)
class ScopeState:
    """A scope at this moment: the tightest windows of its members, calls in flight, and calls that are promised."""

    windows: tuple[WindowUse, ...]
    concurrency: int | None
    in_flight: int
    """Counted where a member caps them; else 0."""
    waiting: int
    """Slots that are handed out for later."""
    blocked_until: float | None
    """Unix seconds; after a vendor's 429."""


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


Decision = Literal["granted", "parked", "blocked", "error"]
"""A call may be sent; the caller has to come back later; a vendor's 429 stops the account; the limiter failed."""


class GateWatch(Protocol):
    """What metrics want to know of the door to the vendors. `scope` as in `Budget`."""

    def decided(self, scope: str, decision: Decision) -> None:
        """For each call, park, 429 or failure."""
        ...

    def reserved(self, scope: str, wait: float) -> None:
        """A slot that is good `wait` seconds from now."""
        ...


class Unwatched:
    """Tells nobody."""

    def decided(self, scope: str, decision: Decision) -> None:
        """Ignored."""

    def reserved(self, scope: str, wait: float) -> None:
        """Ignored."""


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

    async def look(self, scope: str) -> ScopeState:
        """For people to see. Changes nothing."""
        ...

    async def block(self, scope: str, seconds: float) -> None:
        """The vendor said 429: nobody calls for `seconds` (at most 1 h); slots that fall inside are void."""
        ...


@dataclass(frozen=True, slots=True)
class Shelf:
    """One source's place in the response cache."""

    source_type: str
    user_id: str
    source_id: str
    secret: bytes = field(repr=False)
    """Closes what is kept here: with it forgotten nothing of it can be opened any more."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request. `digest` stands for all of it, source and credentials included, and tells nothing of it."""

    method: str
    digest: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A good answer, status 200, as it came."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    """The final one, without secret parameters."""
    secret_params: frozenset[str]
    """Names of the parameters that carried credentials."""
    kept_at: float
    """Unix seconds at which the vendor gave it, or last said that it still holds."""
    kept_by: int | None
    """The number of the run that asked then; None: a test or a preview."""
    fresh: bool = True
    """False: kept only to ask the vendor whether it still holds."""


Wanted = Literal["fresh", "stale", "either"]
"""`fresh`: an answer that may be used; `stale`: one that the vendor can be asked about, whether or not it is fresh."""


class ResponseCache(Protocol):
    """Vendors' answers, sealed. Every method raises PlatformAwayError when Redis is away: go on as if it were empty."""

    async def find(self, shelf: Shelf, question: Question, wanted: Wanted) -> KeptAnswer | None:
        """What is kept, None when nothing is, or nothing that can be opened."""
        ...

    async def keep(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int, to_confirm: bool) -> bool:
        """Keep it for `ttl` seconds; with `to_confirm` also beyond, to ask the vendor whether it still holds.

        False: there is no room.
        """
        ...

    async def confirm(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int) -> bool:
        """The vendor said that the answer still holds: it is fresh again. It is not kept longer than before."""
        ...

    async def distrust(self, shelf: Shelf, question: Question) -> None:
        """Remove what is kept for this question: the vendor neither confirms nor replaces it."""
        ...

    async def purge(self, source_id: str) -> None:
        """Remove everything that is kept for this source."""
        ...
