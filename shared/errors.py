"""Every error of ours, named by what the caller must do about it.

HeadraceError
├── PersonMustActError         a person has to change something; trying again is useless
│   ├── ConfigurationError     CONFIG_ERROR   the source's configuration is wrong
│   │   └── EgressRefusedError CONFIG_ERROR   the address may not be called
│   ├── AuthenticationError    AUTH_FAILED    the vendor refuses the credentials
│   ├── SealError              CONFIG_ERROR   something sealed cannot be opened with our keys
│   ├── MappingError           MAPPING_ERROR  a mapping rule cannot be compiled
│   └── DataError              DATA_ERROR     the vendor's answer cannot be used
├── RetryableError             try the same step again later
│   ├── UnavailableError       NETWORK_ERROR  5xx, timeout, dropped connection
│   ├── UnusableBodyError      DATA_ERROR     HTML, an empty or a cut body where data was due
│   └── RateLimitedError       RATE_LIMITED   429; carries the vendor's Retry-After
├── ParkError                  not an error of anybody: come back at a reserved time
├── PlatformAwayError          Postgres, Redis or the broker is away: pause, spend no attempt
│   └── BackpressureError      a queue is full: keep the page, try again, take no new work
├── PoisonMessageError         the message itself cannot be handled: dead letter with the reason
└── StartupError               the service must not start: says which setting is wrong

A RecordReject (one bad record) is data, not an exception: it travels with its page (`shared.contracts.records`).
The one table that maps (error, attempt) to an action is `shared.messaging.decisions`.
"""

import math
from typing import Literal, get_args

Category = Literal[
    "AUTH_FAILED",
    "RATE_LIMITED",
    "NETWORK_ERROR",
    "DATA_ERROR",
    "MAPPING_ERROR",
    "CONFIG_ERROR",
    "INTERNAL_ERROR",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)


def sentences(message: str, hint: str | None) -> str:
    """What is wrong and what to do, as one text for where there is room for one."""
    if not hint:
        return message
    return f"{message} {hint}" if message.endswith((".", "!", "?")) else f"{message}. {hint}"


class HeadraceError(Exception):
    """`message` says what is wrong, `hint` what to do; neither ever holds a secret or a vendor's raw body."""

    category: Category = "INTERNAL_ERROR"
    status: int | None = None
    """The HTTP status that this error is the meaning of, where it is one's."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PersonMustActError(HeadraceError):
    """Trying again is useless until a person changes something."""


class ConfigurationError(PersonMustActError):
    """The source's configuration is wrong."""

    category = "CONFIG_ERROR"


class EgressRefusedError(ConfigurationError):
    """The address may not be called: not public, and not in HEADRACE_EGRESS_ALLOW."""


class AuthenticationError(PersonMustActError):
    """The vendor refuses the credentials (401, 403)."""

    category = "AUTH_FAILED"


class SealError(PersonMustActError):
    """Sealed data cannot be opened: key gone, data altered, or moved to another tenant, source or origin."""

    category = "CONFIG_ERROR"


class MappingError(PersonMustActError):
    """A mapping rule cannot be compiled."""

    category = "MAPPING_ERROR"


class DataError(PersonMustActError):
    """The vendor's answer cannot be used, and asking again will not help."""

    category = "DATA_ERROR"


class RetryableError(HeadraceError):
    """The same step may succeed later."""


class UnavailableError(RetryableError):
    """5xx, a timeout, or a dropped connection."""

    category = "NETWORK_ERROR"


class UnusableBodyError(RetryableError):
    """An HTML page, an empty body or a cut body where data was due."""

    category = "DATA_ERROR"


class RateLimitedError(RetryableError):
    """429. `retry_after` in seconds as the vendor said it, None when it said nothing."""

    category = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class ParkError(HeadraceError):
    """The budget's next slot is later than a moment: come back at `resume_at` (Unix seconds, Redis' clock)."""

    category = "RATE_LIMITED"

    def __init__(self, message: str, *, resume_at: float, slot: str, wait: float) -> None:
        super().__init__(message, hint=f"Try again in {max(1, math.ceil(wait))} s.")
        self.resume_at = resume_at
        self.slot = slot
        self.wait = wait


class PlatformAwayError(HeadraceError):
    """Postgres, Redis or the broker is away: the consumer pauses and the message spends no attempt."""


class BackpressureError(PlatformAwayError):
    """A bounded queue refused a publish."""


class PoisonMessageError(HeadraceError):
    """The message can never be handled (malformed, unknown run): it goes to the dead letters with this reason."""


class StartupError(HeadraceError):
    """A service refuses to start; the message names the setting."""

    category = "CONFIG_ERROR"
