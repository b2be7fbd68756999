"""A vendor's budget that grants at once, until it is spent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import ParkError


class FakeBudget:
    """Grants `slots` calls, then parks; writes down what it was told."""

    def __init__(self, slots: int = 1_000) -> None:
        self.slots = slots
        self.blocks: list[tuple[str, float | None]] = []
        self.under_way = 0

    async def spend(self, limit_class: str) -> None:
        assert limit_class == "default"
        assert self.under_way == 1
        if self.slots == 0:
            raise ParkError("later", resume_at=1.0, slot="s", wait=1.0)
        self.slots -= 1

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        self.blocks.append((limit_class, retry_after))

    @asynccontextmanager
    async def concurrency(self, limit_class: str) -> AsyncIterator[None]:
        assert limit_class == "default"
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
