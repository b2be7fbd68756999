"""One step's calls, paid from the shared budget of the upstream account."""

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from services.fetcher.call_counts import CallCounts
from services.fetcher.month_meter import Meter
from shared.connector_sdk.spec import RateLimit
from shared.coordination.gate import Grant, SlotGate
from shared.coordination.ports import Budget, Window
from shared.errors import ParkError
from shared.storage.cache_rules import CacheUse
from shared.storage.database import Database

MAX_WAIT = 2.0
"""Seconds a worker waits for a slot itself; a longer wait is a parked message."""
BLOCK_WITHOUT_RETRY_AFTER = 60.0
"""Seconds that a 429 without Retry-After stops the account."""
LONGEST_BLOCK = 3600.0
_TOGETHER_SECONDS = 0.2
"""Between a call's first and last class; within the part of the limiter's margin that is for lateness."""
_TRIES_TOGETHER = 5


def windows_of(limit: RateLimit) -> tuple[Window, ...]:
    """The limit's windows, shortest first."""
    pairs = ((limit.per_second, 1.0), (limit.per_minute, 60.0), (limit.per_hour, 3600.0))
    return tuple(Window(count, seconds) for count, seconds in pairs if count is not None)


def tightest(vendor: RateLimit, own: RateLimit) -> RateLimit:
    """Both hold: per window the smaller number."""
    fields = {
        name: min((value for value in (getattr(vendor, name), getattr(own, name)) if value is not None), default=None)
        for name in RateLimit.model_fields
    }
    return RateLimit(**fields)


def budgets_of(vendor: Mapping[str, RateLimit], own: RateLimit, account: str, member: str) -> dict[str, Budget]:
    """One budget per limit class of the account."""
    found = {}
    for limit_class, limit in vendor.items():
        both = tightest(limit, own)
        found[limit_class] = Budget(
            scope=f"{account}|{limit_class}", windows=windows_of(both), concurrency=both.concurrency, member=member
        )
    return found


class StepBudget:
    """Implements the metered client's budget: each hop is one call of the step's grant.

    Use as a context; what is left of the grants is given back at its end.
    """

    def __init__(
        self,
        gate: SlotGate,
        db: Database,
        budgets: Mapping[str, Budget],
        calls: Mapping[str, int],
        slot: str | None,
        *,
        uses_cache: bool,
        meter: Meter | None,
        parks: bool,
    ) -> None:
        """`calls`: of the whole step, by limit class. `slot`: what a ParkError carried, as `class=slot`. `parks`: see
        `step_budget`."""
        self.uses_cache = uses_cache
        self._parks = parks
        self._gate = gate
        self._counts = CallCounts(db, meter)
        self._budgets = budgets
        self._cost = calls
        self._slot = slot
        self._grants: dict[str, Grant] = {}
        self._calls: dict[str, AsyncExitStack] = {}
        self._reserved = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def reserve(self) -> None:
        """All calls of the step, class by class; once. ParkError carries the slot as `class=slot`."""
        if self._reserved:
            return
        carried_class, _, carried = (self._slot or "").partition("=")
        for limit_class, budget in self._budgets.items():
            cost = self._cost.get(limit_class, 0)
            if cost == 0 or limit_class in self._grants:
                continue
            mine = carried if limit_class == carried_class else None
            step = self._gate.step(budget, cost=cost, max_wait=MAX_WAIT, slot=mine)
            try:
                self._grants[limit_class] = await self._stack.enter_async_context(step)
            except ParkError as park:
                raise await self._named(park, limit_class) from None
        self._reserved = True

    async def give_back(self, park: ParkError) -> None:
        """The slot of this ParkError is not needed after all."""
        limit_class, _, slot = park.slot.partition("=")
        if slot:
            await self._gate.give_back(self._budgets[limit_class], slot)

    async def spend(self, *limit_classes: str) -> None:
        """Begin one call; it ends with the next one of the class or with the client's `concurrency` context."""
        await self.reserve()
        for name in limit_classes:
            await self._promised(name)
        # Before the calls' moment: what is written between that moment and the sending makes them late, and calls that
        # come late come too close to the next ones.
        counted = await self._counts.add([scope for scope in map(self._scope, limit_classes) if scope])
        try:
            if len(limit_classes) > 1:
                await self._together(limit_classes)
            else:
                await self._begin(limit_classes[0])
        except ParkError:
            await self._counts.take_back(counted)
            raise

    def _scope(self, limit_class: str) -> str | None:
        budget = self._budgets[limit_class]
        return budget.scope if budget.windows else None

    async def _promised(self, limit_class: str) -> None:
        try:
            await self._grants[limit_class].promised()
        except ParkError as park:
            raise await self._named(park, limit_class) from None

    async def _together(self, limit_classes: tuple[str, ...]) -> None:
        """Begin one call in several classes at one moment: what is counted early is sent late, and late is too many.

        First the class of which the fewest calls may be in flight: who finds it taken has begun no other in vain.
        """
        first, *others = sorted(limit_classes, key=lambda name: self._budgets[name].concurrency or math.inf)
        for _ in range(_TRIES_TOGETHER):
            for name in limit_classes:
                try:
                    await self._grants[name].ready()
                except ParkError as park:
                    raise await self._named(park, name) from None
            await self._begin(first)
            started = time.monotonic()
            for name in others:
                await self._begin(name)
            if time.monotonic() - started <= _TOGETHER_SECONDS:
                return
        raise self._grants[limit_classes[0]].later()

    async def _begin(self, limit_class: str) -> None:
        stack = self._calls[limit_class]
        await stack.aclose()
        try:
            await stack.enter_async_context(self._grants[limit_class].call())
        except ParkError as park:
            raise await self._named(park, limit_class) from None

    async def _named(self, park: ParkError, limit_class: str) -> ParkError:
        """As the step's own: its slot is carried as `class=slot`, or by a step that does not come back, given back."""
        slot = f"{limit_class}={park.slot}" if park.slot else ""
        named = ParkError(park.message, resume_at=park.resume_at, slot=slot, wait=park.wait)
        if self._parks:
            return named
        await self.give_back(named)
        return ParkError(park.message, resume_at=park.resume_at, slot="", wait=park.wait)

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        """429: nobody on this account calls for that long."""
        seconds = BLOCK_WITHOUT_RETRY_AFTER if retry_after is None else min(retry_after, LONGEST_BLOCK)
        await self._gate.block(self._budgets[limit_class].scope, seconds)

    @asynccontextmanager
    async def concurrency(self, limit_class: str) -> AsyncIterator[None]:
        """Holds the call's lease until the answer is read."""
        async with AsyncExitStack() as stack:
            self._calls[limit_class] = stack
            try:
                yield
            finally:
                del self._calls[limit_class]


class SpentBudget:
    """Of a step that would have to wait, and may go on only as far as it needs no call. Raises the ParkError then."""

    uses_cache = True

    def __init__(self, park: ParkError) -> None:
        self._park = park
        self.asked = False
        """A call was wanted: the step waits for the slot of the ParkError."""

    async def spend(self, *limit_classes: str) -> None:  # noqa: ARG002 - the port's signature
        self.asked = True
        raise self._park

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        """Nobody called."""

    @asynccontextmanager
    async def concurrency(self, limit_class: str) -> AsyncIterator[None]:  # noqa: ARG002 - the port's signature
        yield


@asynccontextmanager
async def step_budget(
    gate: SlotGate,
    db: Database,
    budgets: Mapping[str, Budget],
    calls: Mapping[str, int],
    slot: str | None,
    *,
    use: CacheUse = "never",
    meter: Meter | None = None,
    parks: bool = True,
) -> AsyncIterator[StepBudget | SpentBudget]:
    """Reserve all calls of a step before it starts, but for one that may find all its answers in the cache (`first`).

    Where the step would have to wait, one that may then use the cache (`stand_in`) starts nevertheless. `parks` False:
    it is not a message that comes back, so no ParkError of it carries a slot; runs may have its time at once.
    """
    async with StepBudget(
        gate, db, budgets, calls, slot, uses_cache=use == "first", meter=meter, parks=parks
    ) as budget:
        parked: ParkError | None = None
        if use != "first":
            try:
                await budget.reserve()
            except ParkError as park:
                if use == "never":
                    raise
                parked = park
        if parked is None:
            yield budget
            return
        spent = SpentBudget(parked)
        try:
            yield spent
        finally:
            if not spent.asked:
                await budget.give_back(parked)
