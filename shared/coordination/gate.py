"""How a caller spends a budget: waits a moment in the worker, parks for longer, holds a lease while it calls."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from shared.clock import Clock
from shared.coordination.ports import Budget, GateWatch, RateLimiter, Turn, Unwatched
from shared.errors import ParkError, PlatformAwayError

LEAD = 1.5
"""Seconds before its slot a parked message should be back; the bus keeps delays to within a second."""
RETRY_BUSY = 1.0
"""Seconds after which a message that found all leases taken comes back."""
_POLL = 0.02
_SLOWEST_POLL = 0.2
_MAX_HOLD = 600.0
_MAX_VOIDS = 5


class SlotGate:
    """The door every call to a vendor goes through."""

    def __init__(
        self, limiter: RateLimiter, clock: Clock, *, renew_every: float = 10.0, watch: GateWatch | None = None
    ) -> None:
        """`renew_every` in seconds: a third of the limiter's lease time."""
        self._watch = watch or Unwatched()
        self._limiter = limiter
        self._clock = clock
        self._renew_every = renew_every

    @asynccontextmanager
    async def step(
        self, budget: Budget, *, cost: int = 1, max_wait: float = 2.0, slot: str | None = None
    ) -> AsyncIterator["Grant"]:
        """Reserve `cost` calls together, or go on with the `slot` of a message that was parked; then call each inside
        `grant.call()`. What was not called is given back.

        Raises ParkError when the wait is longer than `max_wait` seconds (then carry its slot, "" being none, and come
        back after its `wait`), PlatformAwayError when Redis is away, ConfigurationError for an impossible limit.
        """
        grant = Grant(self._limiter, self._clock, budget, cost, max_wait, self._renew_every, self._watch)
        try:
            await grant.take(slot)
            yield grant
        finally:
            await grant.close()

    async def give_back(self, budget: Budget, slot: str) -> None:
        """The slot that a ParkError carried is not wanted: others may have its time."""
        with suppress(PlatformAwayError):  # then it is only wasted
            await self._limiter.unused(budget, slot)

    async def block(self, scope: str, seconds: float) -> None:
        """The vendor said 429: every process waits with us."""
        self._watch.decided(scope, "blocked")
        await self._limiter.block(scope, seconds)


class Grant:
    """The calls of one step. Not for use from several tasks at once."""

    def __init__(
        self,
        limiter: RateLimiter,
        clock: Clock,
        budget: Budget,
        cost: int,
        max_wait: float,
        renew_every: float,
        watch: GateWatch,
    ) -> None:
        self._watch = watch
        self._limiter = limiter
        self._clock = clock
        self._budget = budget
        self._cost = cost
        self._max_wait = max_wait
        self._renew_every = renew_every
        self._made = 0
        self._first_call: float | None = None
        self._slot = ""
        self._slot_calls = 0

    async def take(self, slot: str | None) -> None:
        """Redeem the slot of a parked message, else reserve; raises ParkError when the wait is long."""
        if slot:
            turn = await self._limiter.redeem(self._budget, slot)
            if turn.state == "wait":
                self._slot, self._slot_calls = slot, self._cost
                # It was told to come back LEAD before its time, and the bus may be early by a second.
                if turn.wait > max(self._max_wait, LEAD + 1.0):
                    raise self._parked(turn)
                return
        await self._reserve(None)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """One call, to be made at once inside. A call beyond the cost of the step reserves for itself."""
        lease = uuid.uuid4().hex
        try:
            leased = await self._begin(lease)
        except asyncio.CancelledError:
            await self._release(lease)  # the limiter may have granted it just now
            raise
        if not leased:
            yield
            return
        heart = asyncio.create_task(self._renew(lease))
        try:
            yield
        finally:
            heart.cancel()
            await asyncio.wait([heart])
            await self._release(lease)

    async def promised(self) -> None:
        """Have a slot for the next call, whose time may be still to come. Raises as `SlotGate.step` does."""
        if not self._slot:
            await self._reserve(None)

    async def ready(self) -> None:
        """Wait until the next call can be sent, so that it begins at once. Raises as `SlotGate.step` does."""
        await self.promised()
        turn = await self._limiter.redeem(self._budget, self._slot)
        if turn.state == "wait":
            await self._clock.sleep(turn.wait)
        else:
            self._slot = ""

    def later(self) -> ParkError:
        """To raise when this worker cannot be on time: let another try, in a moment."""
        return self._parked_without_slot(RETRY_BUSY)

    async def close(self) -> None:
        """Give back what was not called."""
        slot, self._slot = self._slot, ""
        if slot:
            with suppress(PlatformAwayError):  # an unused slot that is not given back is only wasted
                await self._limiter.unused(self._budget, slot)

    async def _begin(self, lease: str) -> bool:
        """Wait for the moment to send, and return in it; True when a lease is held."""
        voids = 0
        waited = 0.0
        while True:
            if self._slot:
                turn = await self._limiter.start(self._budget, self._slot, lease)
            else:
                turn = await self._reserve(lease)
            match turn.state:
                case "go":
                    self._count()
                    return turn.leased
                case "wait":
                    await self._clock.sleep(turn.wait)
                case "busy" | "far":
                    if waited >= self._max_wait:
                        raise self._parked_without_slot(RETRY_BUSY)
                    nap = min(_POLL + waited / 4, _SLOWEST_POLL)
                    await self._clock.sleep(nap)
                    waited += nap
                case "void":
                    self._slot = ""
                    voids += 1
                    if voids > _MAX_VOIDS:  # this worker is too slow to be on time: let another try
                        raise self._parked_without_slot(RETRY_BUSY)

    def _count(self) -> None:
        self._watch.decided(self._budget.scope, "granted")
        self._made += 1
        self._slot_calls -= 1
        if self._slot_calls == 0:
            self._slot = ""
        if self._first_call is None:
            self._first_call = self._clock.unix()

    async def _reserve(self, lease: str | None) -> Turn:
        """A slot for the calls that are left. ParkError when it is late, with a slot for the whole step."""
        calls = max(1, self._cost - self._made)
        try:
            turn = await self._limiter.reserve(self._budget, cost=calls, start=lease)
        except PlatformAwayError:
            self._watch.decided(self._budget.scope, "error")
            raise
        if turn.state in {"go", "wait"}:
            self._slot, self._slot_calls = turn.slot, calls
            self._watch.reserved(self._budget.scope, turn.wait if turn.state == "wait" else 0.0)
        if turn.state == "wait" and turn.wait > self._max_wait:
            if self._first_call is not None:
                # The step outlived its slot. It will start over, with all its calls and with more time for them,
                # else a slow vendor would make it start over for ever.
                await self.close()
                elapsed = self._clock.unix() - self._first_call
                turn = await self._limiter.reserve(
                    self._budget, cost=self._cost, hold=min(10.0 + 2 * elapsed, _MAX_HOLD)
                )
            if turn.state == "wait":
                raise self._parked(turn)
        if turn.state == "far":
            raise self._parked_without_slot(turn.wait / 2)
        return turn

    def _parked(self, turn: Turn) -> ParkError:
        self._watch.decided(self._budget.scope, "parked")
        self._slot = ""  # it is the message's now, not ours to give back
        wait = max(0.0, turn.wait - LEAD)
        resume_at = turn.at - (turn.wait - wait)
        return ParkError("the vendor's limit leaves no call now", resume_at=resume_at, slot=turn.slot, wait=wait)

    def _parked_without_slot(self, wait: float) -> ParkError:
        self._watch.decided(self._budget.scope, "parked")
        resume_at = self._clock.unix() + wait
        return ParkError("no slot of the rate limit is free", resume_at=resume_at, slot="", wait=wait)

    async def _release(self, lease: str) -> None:
        with suppress(PlatformAwayError):  # the lease then ends by itself
            await self._limiter.release(self._budget, lease)

    async def _renew(self, lease: str) -> None:
        while True:
            await self._clock.sleep(self._renew_every)
            with suppress(PlatformAwayError):  # tried again at the next beat
                await self._limiter.renew(self._budget, lease)
