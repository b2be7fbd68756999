"""What the door to the vendors tells of its decisions."""

import pytest
from one_call import one_call

from shared.clock import SystemClock
from shared.coordination.gate import SlotGate
from shared.coordination.ports import Budget, Decision, Turn
from shared.errors import ParkError, PlatformAwayError

BUDGET = Budget("json_api|account|get", ())


class Scripted:
    """A limiter that answers one thing."""

    def __init__(self, answer: Turn | Exception) -> None:
        self._answer = answer

    async def reserve(self, _budget: Budget, **_wishes: object) -> Turn:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def redeem(self, budget: Budget, _slot: str) -> Turn:
        return await self.reserve(budget)

    async def start(self, _budget: Budget, slot: str, _lease: str) -> Turn:
        return Turn("go", slot)

    async def renew(self, budget: Budget, lease: str) -> None: ...

    async def release(self, budget: Budget, lease: str) -> None: ...

    async def unused(self, budget: Budget, slot: str) -> None: ...

    async def block(self, scope: str, seconds: float) -> None: ...


class Notes:
    """Implements GateWatch."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.waits: list[float] = []

    def decided(self, scope: str, decision: Decision) -> None:
        assert scope == BUDGET.scope
        self.decisions.append(decision)

    def reserved(self, scope: str, wait: float) -> None:
        assert scope == BUDGET.scope
        self.waits.append(wait)


@pytest.mark.parametrize(
    ("answer", "decisions", "waits"),
    [
        (Turn("go", "s"), ["granted"], [0.0]),
        (Turn("wait", "s", wait=0.01), ["granted"], [0.01]),
        (Turn("wait", "s", wait=60.0), ["parked"], [60.0]),
        (Turn("far", wait=9.0), ["parked"], []),
        (PlatformAwayError("Redis is away"), ["error"], []),
    ],
    ids=["at once", "in a moment", "later", "far", "away"],
)
async def test_each_answer_is_told(answer: Turn | Exception, decisions: list[Decision], waits: list[float]) -> None:
    notes = Notes()
    gate = SlotGate(Scripted(answer), SystemClock(), watch=notes)
    try:
        async with one_call(gate, BUDGET):
            pass
    except (ParkError, PlatformAwayError):
        pass
    assert (notes.decisions, notes.waits) == (decisions, waits)


async def test_a_vendors_429_is_told() -> None:
    notes = Notes()
    await SlotGate(Scripted(Turn("go")), SystemClock(), watch=notes).block(BUDGET.scope, 60)
    assert notes.decisions == ["blocked"]
