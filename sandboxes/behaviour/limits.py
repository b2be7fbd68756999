"""Strict limits: arrivals are counted with the server's clock in sliding windows, and refused ones count too."""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import msgspec
from aiohttp import web


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most n arrivals in any window of that many seconds, for each (n, seconds); how a 429 tells when to return."""

    limits: tuple[tuple[int, float], ...] = ()
    retry_after: Literal["seconds", "date", "none"] = "seconds"

    def __post_init__(self) -> None:
        if any(count < 1 or seconds <= 0 for count, seconds in self.limits):
            raise ValueError("a limit is [count >= 1, seconds > 0]")


@dataclass(slots=True)
class Arrival:
    """One request as the server saw it. `time` is in seconds of the steady clock; status 0 = cut off or in flight."""

    time: float
    account: str
    method: str
    path: str
    status: int = 0


class ArrivalLog:
    """Every arrival, and how many requests were in flight at once."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._times: dict[str, list[float]] = {}
        self.arrivals: list[Arrival] = []
        self.in_flight = 0
        self.max_in_flight = 0

    def clear(self) -> None:
        """Forget all but what is in flight now."""
        self._times.clear()
        self.arrivals.clear()
        self.max_in_flight = self.in_flight

    def enter(self, account: str, method: str, path: str) -> Arrival:
        """A request came."""
        arrival = Arrival(self._steady(), account, method, path)
        self.arrivals.append(arrival)
        self._times.setdefault(account, []).append(arrival.time)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        return arrival

    def leave(self) -> None:
        """Its answer is sent, or its connection gone."""
        self.in_flight -= 1

    def wait(self, arrival: Arrival, limits: Limits) -> float:
        """Seconds until this arrival's account may call again; 0.0 when the arrival is within every limit."""
        times, over, wait = self._times[arrival.account], False, 0.0
        for count, seconds in limits.limits:
            over = over or len(times) - bisect_right(times, arrival.time - seconds) > count
            if len(times) >= count:
                wait = max(wait, times[-count] + seconds - arrival.time)
        return wait if over else 0.0

    def worst_window(self, seconds: float, account: str | None = None) -> int:
        """The most arrivals that any window of this length saw, of one account or of the worst."""
        chosen = self._times.values() if account is None else [self._times.get(account, [])]
        return max((_worst(times, seconds) for times in chosen), default=0)


def _worst(times: list[float], seconds: float) -> int:
    first = worst = 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def too_many(wait: float, style: Literal["seconds", "date", "none"], now: datetime) -> web.Response:
    """The 429 that says to come back in `wait` seconds, in whole seconds rounded up."""
    seconds = max(1, math.ceil(wait))
    headers = {}
    if style == "seconds":
        headers["Retry-After"] = str(seconds)
    elif style == "date":
        # a date has whole seconds: one more, else the fraction that is cut off would invite the caller too early
        headers["Retry-After"] = format_datetime(now + timedelta(seconds=seconds + 1), usegmt=True)
    return web.json_response({"error": "rate limit exceeded"}, status=429, headers=headers)
