"""What the tests of the limiter share: a limiter on a real Redis, its history, and a look inside."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from shared.clock import SystemClock
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.ports import Budget, Window
from shared.coordination.redis import RedisServer


@dataclass
class Rig:
    """A limiter whose margin is small and known, the memory behind it, and a plain client to look inside."""

    server: RedisServer
    raw: Redis
    prefix: str
    margin: float = 0.02
    calls: list[tuple[float, int]] = field(default_factory=list)
    asked: int = 0

    async def history(self, _scope: str) -> Sequence[tuple[float, int]]:
        self.asked += 1
        return list(self.calls)

    def limiter(
        self, *, horizon: float = 7200.0, hold: float = 5.0, lease_ttl: float = 30.0, margin: float | None = None
    ) -> RedisRateLimiter:
        width = self.margin if margin is None else margin
        return RedisRateLimiter(
            self.server,
            history=self.history,
            prefix=self.prefix,
            margin=lambda _seconds: width,
            horizon=horizon,
            hold=hold,
            lease_ttl=lease_ttl,
        )

    def gate(self, limiter: RedisRateLimiter | None = None, *, renew_every: float = 10.0) -> SlotGate:
        return SlotGate(limiter or self.limiter(), SystemClock(), renew_every=renew_every)

    async def keys(self) -> list[bytes]:
        return [key async for key in self.raw.scan_iter(match=f"{self.prefix}*", count=1000)]

    async def empty(self) -> None:
        """What a restart without persistence leaves of our keys."""
        keys = await self.keys()
        if keys:
            await self.raw.delete(*keys)

    async def promised(self) -> int:
        """Calls in the log that are still to come."""
        logs = [key for key in await self.keys() if key.endswith(b":log")]
        return sum([await self.raw.zcount(log, f"({await self.now() * 1e6:.0f}", "+inf") for log in logs])

    async def until_promised(self) -> None:
        """Return when somebody waits for a slot."""
        async with asyncio.timeout(5):
            while not await self.promised():  # noqa: ASYNC110 - the event happens inside Redis
                await asyncio.sleep(0.005)

    async def now(self) -> float:
        seconds, micros = await self.raw.time()
        return float(seconds) + float(micros) / 1e6


def make_budget(
    *windows: tuple[int, float], concurrency: int | None = None, member: str = "", scope: str = "a"
) -> Budget:
    return Budget(scope, tuple(Window(*window) for window in windows), concurrency, member)
