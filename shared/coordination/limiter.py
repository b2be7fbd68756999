"""The rate limiter in Redis: the decisions are in `limiter.lua`, this is its door."""

import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, cast

from shared.coordination.ports import Budget, History, ScopeState, Turn, TurnState, WindowUse
from shared.coordination.redis import RedisServer, Script
from shared.errors import ConfigurationError, PlatformAwayError

MAX_BLOCK = 3600.0
"""Seconds; a vendor's Retry-After beyond this is cut."""
MAX_COST = 1000
"""Calls of one slot."""
MAX_HISTORY = 5000
"""Entries taken from the history, newest first."""
_PLAIN_SCOPE = re.compile(r"[\w.:@/-]{1,80}", re.ASCII)


def default_margin(seconds: float) -> float:
    """How much longer than a window of `seconds` we count, since the vendor counts arrivals and we count departures.

    Between the two a busy machine with 2 cores makes a call some 15 ms late, and now and then 50 ms.
    """
    return max(0.08, min(0.025 * seconds, 2.0))


class RedisRateLimiter:
    """RateLimiter in Redis. Holds no state: any number of them, in any process, with one `prefix` are one limiter."""

    def __init__(
        self,
        redis: RedisServer,
        *,
        history: History,
        prefix: str = "headrace:",
        margin: Callable[[float], float] = default_margin,
        hold: float = 5.0,
        horizon: float = 7200.0,
        lease_ttl: float = 30.0,
    ) -> None:
        """All in seconds: `margin` of a window; `hold` a call of a larger slot gets; `horizon` beyond which nothing is
        promised; `lease_ttl` after which a lease that nobody renews is free again."""
        self._redis = redis
        self._history = history
        self._prefix = prefix
        self._margin = margin
        self._hold = hold
        self._horizon = horizon
        self._lease_ttl = lease_ttl
        text = resources.files("shared.coordination").joinpath("limiter.lua").read_text(encoding="utf-8")
        self._script = Script(text)

    @property
    def lease_ttl(self) -> float:
        """Renew a lease well within this many seconds."""
        return self._lease_ttl

    async def reserve(
        self, budget: Budget, *, cost: int = 1, hold: float | None = None, start: str | None = None
    ) -> Turn:
        if not 1 <= cost <= MAX_COST:
            raise ValueError(f"a slot has 1 to {MAX_COST} calls, not {cost}")
        windows = [
            {"limit": w.limit, "length": _us(w.seconds), "margin": _us(self._margin(w.seconds))} for w in budget.windows
        ]
        slot = uuid.uuid4().hex
        args: dict[str, Any] = {
            "slot": slot,
            # Without a name, each set of limits is a member of its own, so that none hides a tighter one.
            "member": budget.member or json.dumps([windows, budget.concurrency]),
            "windows": windows,
            "cost": cost,
            "hold": _us(self._hold * (cost - 1) if hold is None else hold),
            "horizon": _us(self._horizon),
            "lease_ttl": _us(self._lease_ttl),
        }
        if budget.concurrency is not None:
            args["concurrency"] = budget.concurrency
        if start is not None:
            args["lease"] = start
        for _ in range(3):  # a seed is enough, unless Redis restarts again in between
            state, first, second = await self._run("reserve", budget.scope, slot, args)
            if state == "impossible":
                raise ConfigurationError(
                    f"one step needs {cost} calls, but the rate limit allows {first} in {second / 1e6:g} s",
                    hint="Allow more calls in the source's rate limit.",
                )
            if state != "cold":
                return _turn(state, slot, first, second)
            await self._seed(budget.scope, span=first, most=second)
        raise PlatformAwayError("Redis loses the rate limiter's memory", hint="Is Redis restarting again and again?")

    async def redeem(self, budget: Budget, slot: str) -> Turn:
        state, at, wait = await self._run("redeem", budget.scope, slot, {"slot": slot})
        return _turn(state, slot, at, wait)

    async def start(self, budget: Budget, slot: str, lease: str) -> Turn:
        args = {"slot": slot, "lease": lease, "lease_ttl": _us(self._lease_ttl)}
        state, at, wait = await self._run("start", budget.scope, slot, args)
        return _turn(state, slot, at, wait)

    async def renew(self, budget: Budget, lease: str) -> None:
        await self._run("renew", budget.scope, "", {"lease": lease, "lease_ttl": _us(self._lease_ttl)})

    async def release(self, budget: Budget, lease: str) -> None:
        await self._run("release", budget.scope, "", {"lease": lease})

    async def unused(self, budget: Budget, slot: str) -> None:
        await self._run("unused", budget.scope, slot, {"slot": slot})

    async def block(self, scope: str, seconds: float) -> None:
        await self._run("block", scope, "", {"seconds": _us(min(max(seconds, 0.0), MAX_BLOCK))})

    async def look(self, scope: str) -> ScopeState:
        state = json.loads(cast(bytes, await self._ask("look", scope, "", {})))
        windows = [WindowUse(each["limit"], each["seconds"], each["used"]) for each in state["windows"] or ()]
        return ScopeState(
            windows=tuple(sorted(windows, key=lambda window: window.seconds)),
            concurrency=state.get("concurrency"),
            in_flight=state["in_flight"],
            waiting=state["waiting"],
            blocked_until=state.get("blocked_until"),
        )

    async def _seed(self, scope: str, *, span: int, most: int) -> None:
        """Of several that come here at once the first one wins; nothing is granted before."""
        calls = sorted(((_us(at), count) for at, count in await self._history(scope) if count > 0), reverse=True)
        await self._run("seed", scope, "", {"span": span, "most": most, "history": calls[:MAX_HISTORY]})

    async def _run(self, operation: str, scope: str, slot: str, args: Mapping[str, Any]) -> tuple[str, int, int]:
        answer = await self._ask(operation, scope, slot, args)
        state, first, second = cast(tuple[bytes, int, int], answer)
        return state.decode(), first, second

    async def _ask(self, operation: str, scope: str, slot: str, args: Mapping[str, Any]) -> Any:
        # The braces put all keys of a scope on one node of a cluster.
        base = f"{self._prefix}limit:{{{_key(scope)}}}:"
        keys = [base + name for name in ("meta", "log", "members", "leases", f"slot:{slot}")]
        return await self._redis.run(self._script, keys, [operation, json.dumps(args)])


def _key(scope: str) -> str:
    return scope if _PLAIN_SCOPE.fullmatch(scope) else hashlib.sha256(scope.encode()).hexdigest()


def _us(seconds: float) -> int:
    return math.ceil(seconds * 1_000_000)


def _turn(state: str, slot: str, at: int, wait: int) -> Turn:
    known = cast(TurnState, state)
    if known == "go":
        return Turn("go", slot, at / 1e6, leased=wait == 1)
    return Turn(known, slot if known == "wait" else "", at / 1e6, wait / 1e6)
