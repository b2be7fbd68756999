"""A step of a single call, as most tests of the gate take it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.coordination.gate import SlotGate
from shared.coordination.ports import Budget


@asynccontextmanager
async def one_call(
    gate: SlotGate, budget: Budget, *, max_wait: float = 2.0, slot: str | None = None
) -> AsyncIterator[None]:
    """To be made at once inside. Raises as `SlotGate.step` does."""
    async with gate.step(budget, max_wait=max_wait, slot=slot) as grant, grant.call():
        yield
