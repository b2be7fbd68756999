"""The rate limits of an account, all in one place: strict sliding windows, counted when a request arrives.

Refused requests count too. Finale names the limits; that windows slide, and of which class
a header speaks, is deduced.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sandboxes.behaviour.limits import Arrival

RateClass = Literal["get", "post", "collection"]
RATES: dict[RateClass, tuple[int, float]] = {"get": (120, 60.0), "post": (120, 60.0), "collection": (300, 3600.0)}
"""Requests and seconds of each class; GraphQL is a POST, and reports are in the class of collection reads."""


def classes_of(account: str, method: str, path: str) -> tuple[RateClass, ...]:
    """The classes that a request counts in; the path comes without its query."""
    if method == "POST":
        return ("post",)
    tail = path.removeprefix(f"/{account}/").strip("/").split("/")
    collection = (tail[0] == "api" and len(tail) == 2) or tail[:2] == ["doc", "report"]
    return ("get", "collection") if collection else ("get",)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands after a request, in the class that is nearest to its end."""

    limit: int
    remaining: int
    wait: float
    """Seconds until one more request is allowed; 0.0 when this one is within every limit."""
    frees: float
    """Seconds until this class has more room than now."""

    def headers(self, now: datetime) -> dict[str, str]:
        """`X-RateLimit-...`; Reset is in Unix seconds, rounded up so that who waits for it is never early."""
        reset = math.ceil((now + timedelta(seconds=self.frees)).timestamp())
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(reset),
        }


class Rates:
    """The windows of one account."""

    def __init__(self) -> None:
        self._times: dict[RateClass, list[float]] = {name: [] for name in RATES}

    def clear(self) -> None:
        """Forget every request."""
        for times in self._times.values():
            times.clear()

    def count(self, classes: Iterable[RateClass], time: float, scale: float) -> Standing:
        """Count a request that arrived at `time` in its classes; tells whether it is within them."""
        standings = [self._count(name, time, scale) for name in classes]
        return min(standings, key=lambda one: (one.wait == 0.0, -one.wait, one.remaining, -one.frees))

    def _count(self, name: RateClass, time: float, scale: float) -> Standing:
        times, (count, seconds) = self._times[name], RATES[name]
        window = seconds * scale
        times.append(time)
        del times[: bisect_right(times, time - window)]
        frees = times[-count:][0] + window - time  # when the oldest of the last `count` leaves, one more fits in
        return Standing(count, max(0, count - len(times)), frees if len(times) > count else 0.0, frees)


def worst_window(account: str, arrivals: Iterable[Arrival], name: RateClass, seconds: float) -> int:
    """The most requests of a class that any window of this length saw: counted from the log, not by the limiter."""
    times = [
        one.time
        for one in arrivals
        if one.account == account and name in classes_of(account, one.method, one.path.partition("?")[0])
    ]
    first = worst = 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
