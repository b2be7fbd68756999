"""The one table that says what happens to a message whose handler failed. Pure.

| error                             | while attempts are left      | then                         |
|-----------------------------------|------------------------------|------------------------------|
| RetryableError                    | again after 1, 2, 4, 8, 16 s | the entity fails             |
| RateLimitedError                  | 3 times, Retry-After or 60 s | the entity fails             |
| PersonMustActError                |                              | the entity fails at once     |
| ParkError                         | at its time, never spent     |                              |
| PlatformAwayError, a cancellation | paused, never spent          |                              |
| PoisonMessageError                |                              | dead letter with its reason  |
| anything else (a bug)             | again after 1, 2, 4 s        | dead letter, INTERNAL_ERROR  |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.errors import (
    Category,
    ParkError,
    PersonMustActError,
    PlatformAwayError,
    PoisonMessageError,
    RateLimitedError,
    RetryableError,
)

TRANSIENT_DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each retry of a step whose vendor is unavailable or answers nonsense."""
INTERNAL_DELAYS = (1.0, 2.0, 4.0)
"""Seconds before each retry of a step that met a bug of ours; it may be a race."""
RATE_LIMITED_RETRIES = 3
DEFAULT_RETRY_AFTER = 60.0
"""Seconds to wait after a 429 that doesn't say how long."""
RETRY_AFTER_RANGE = (1.0, 3600.0)
"""Seconds; a vendor's Retry-After is brought into this range."""
MAX_REASON_CHARS = 500
_IN_THE_END: Mapping[Category, str] = {
    "NETWORK_ERROR": "Several tries failed. Check that the address is right and its server is up, then sync again.",
    "DATA_ERROR": "Several tries failed. Look at what the address answers, then sync again.",
    "RATE_LIMITED": "Sync again later, or give the source a lower rate_limit.",
}
"""What a person does about an error that retries did not mend."""

Counter = Literal["attempt_transient", "attempt_rate_limited", "attempt_internal"]
"""Headers that count attempts: one per kind of error, so that a 429 doesn't eat a timeout's retries."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Retries that the message has behind it, by kind of error."""

    transient: int = 0
    rate_limited: int = 0
    internal: int = 0

    @classmethod
    def of(cls, headers: Mapping[str, object]) -> "Attempts":
        """Read from a message's headers; what isn't a count is 0."""

        def count(name: Counter) -> int:
            value = headers.get(name, 0)
            return max(value, 0) if isinstance(value, int) else 0

        return cls(count("attempt_transient"), count("attempt_rate_limited"), count("attempt_internal"))


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The same message again after `seconds`, with `counter` one higher."""

    seconds: float
    counter: Counter


@dataclass(frozen=True, slots=True)
class Park:
    """The same message again at `until` (Unix seconds of our clock), carrying the reserved slot."""

    until: float
    slot: str


@dataclass(frozen=True, slots=True)
class FailStep:
    """The run's entity fails with this; the message is done."""

    category: Category
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The message goes to the dead letters; whoever stores it ends the entity."""

    reason: str
    category: Category = "INTERNAL_ERROR"


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody's fault here: hold the message, wait, try again; no attempt is spent."""


Decision = RetryAfter | Park | FailStep | DeadLetter | Pause


def decide(error: BaseException, attempts: Attempts, *, now: float) -> Decision:  # noqa: PLR0911 - a table: one row, one return
    """What to do with the message whose handler raised `error`. `now` in Unix seconds. Total: never raises."""
    match error:
        case BaseExceptionGroup():
            return _decide_group(error, attempts, now)
        case PersonMustActError():
            return FailStep(error.category, error.message, error.hint)
        case RateLimitedError():
            return _rate_limited(error, attempts)
        case RetryableError():
            if attempts.transient < len(TRANSIENT_DELAYS):
                return RetryAfter(TRANSIENT_DELAYS[attempts.transient], "attempt_transient")
            return _given_up(error)
        case ParkError():
            # `resume_at` is Redis' clock; the wait is the same for everybody
            return Park(until=now + error.wait, slot=error.slot)
        case PlatformAwayError():
            return Pause()
        case PoisonMessageError():
            return DeadLetter(error.message[:MAX_REASON_CHARS], error.category)
        case Exception():
            return _internal(error, attempts)
        case _:  # a cancellation or an interrupt: a stop is not a failure
            return Pause()


def _rate_limited(error: RateLimitedError, attempts: Attempts) -> Decision:
    if attempts.rate_limited >= RATE_LIMITED_RETRIES:
        return _given_up(error)
    shortest, longest = RETRY_AFTER_RANGE
    asked = DEFAULT_RETRY_AFTER if error.retry_after is None else error.retry_after
    return RetryAfter(max(shortest, min(asked, longest)), "attempt_rate_limited")


def _given_up(error: RetryableError) -> FailStep:
    """Who reads why a run failed reads what to do, also where whoever raised the error had hoped for a retry."""
    return FailStep(error.category, error.message, error.hint or _IN_THE_END.get(error.category, ""))


def _internal(error: Exception, attempts: Attempts) -> Decision:
    if attempts.internal < len(INTERNAL_DELAYS):
        return RetryAfter(INTERNAL_DELAYS[attempts.internal], "attempt_internal")
    # the type alone: the text of an unknown error may hold a secret or a record
    return DeadLetter(f"unexpected {type(error).__name__}")


def _decide_group(group: BaseExceptionGroup[BaseException], attempts: Attempts, now: float) -> Decision:
    """A task group's errors: an outage explains the others, else the first one counts."""
    decisions = [decide(error, attempts, now=now) for error in group.exceptions]
    return next((decision for decision in decisions if isinstance(decision, Pause)), decisions[0])


def with_attempt(headers: Mapping[str, str | int], counter: Counter) -> dict[str, str | int]:
    """The headers of the next try."""
    attempts = Attempts.of(headers)
    spent = {
        "attempt_transient": attempts.transient,
        "attempt_rate_limited": attempts.rate_limited,
        "attempt_internal": attempts.internal,
    }
    return {**headers, counter: spent[counter] + 1}
