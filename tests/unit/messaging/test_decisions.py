"""The table of decisions is total, and says what the contract says."""

import asyncio
import math
from collections.abc import Iterator
from typing import get_args

import pytest

from shared.errors import (
    AuthenticationError,
    BackpressureError,
    ConfigurationError,
    DataError,
    EgressRefusedError,
    HeadraceError,
    MappingError,
    ParkError,
    PersonMustActError,
    PlatformAwayError,
    PoisonMessageError,
    RateLimitedError,
    RetryableError,
    SealError,
    StartupError,
    UnavailableError,
    UnusableBodyError,
)
from shared.messaging.decisions import (
    Attempts,
    Counter,
    DeadLetter,
    Decision,
    FailStep,
    Park,
    Pause,
    RetryAfter,
    decide,
    with_attempt,
)

NOW = 1_795_000_000.0
FRESH = Attempts()
SPENT = Attempts(transient=5, rate_limited=3, internal=3)

EXPECTED: dict[type[HeadraceError], tuple[type, type]] = {
    HeadraceError: (RetryAfter, DeadLetter),
    PersonMustActError: (FailStep, FailStep),
    ConfigurationError: (FailStep, FailStep),
    EgressRefusedError: (FailStep, FailStep),
    AuthenticationError: (FailStep, FailStep),
    SealError: (FailStep, FailStep),
    MappingError: (FailStep, FailStep),
    DataError: (FailStep, FailStep),
    RetryableError: (RetryAfter, FailStep),
    UnavailableError: (RetryAfter, FailStep),
    UnusableBodyError: (RetryAfter, FailStep),
    RateLimitedError: (RetryAfter, FailStep),
    ParkError: (Park, Park),
    PlatformAwayError: (Pause, Pause),
    BackpressureError: (Pause, Pause),
    PoisonMessageError: (DeadLetter, DeadLetter),
    StartupError: (RetryAfter, DeadLetter),
}


def tree(root: type[HeadraceError]) -> Iterator[type[HeadraceError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == "shared.errors":
            yield from tree(child)


def make(kind: type[HeadraceError]) -> HeadraceError:
    return ParkError("later", resume_at=NOW + 9, slot="s1", wait=9) if kind is ParkError else kind("what", hint="do")


def test_every_error_of_ours_has_a_row() -> None:
    assert set(tree(HeadraceError)) == set(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_each_error_gets_its_decision_first_and_last(kind: type[HeadraceError]) -> None:
    decisions = [decide(make(kind), attempts, now=NOW) for attempts in (FRESH, SPENT)]

    assert tuple(type(decision) for decision in decisions) == EXPECTED[kind]
    assert all(isinstance(decision, get_args(Decision)) for decision in decisions)


def delays(error: Exception, counter: Counter) -> list[float]:
    """The waits until the table stops retrying, counting as a consumer does: in the headers."""
    headers: dict[str, str | int] = {}
    waits = []
    while isinstance(decision := decide(error, Attempts.of(headers), now=NOW), RetryAfter):
        assert decision.counter == counter
        waits.append(decision.seconds)
        headers = with_attempt(headers, decision.counter)
    return waits


@pytest.mark.parametrize("error", [UnavailableError("down"), UnusableBodyError("html")])
def test_an_unavailable_vendor_is_asked_five_times_more(error: Exception) -> None:
    assert delays(error, "attempt_transient") == [1, 2, 4, 8, 16]


def test_a_bug_is_tried_three_times_more() -> None:
    assert delays(ValueError("x"), "attempt_internal") == [1, 2, 4]


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [(None, 60), (7, 7), (0, 1), (-5, 1), (3_600, 3_600), (86_400, 3_600), (math.inf, 3_600), (math.nan, 1)],
)
def test_a_throttled_request_waits_as_the_vendor_says_within_reason(retry_after: float | None, wait: float) -> None:
    assert delays(RateLimitedError("429", retry_after=retry_after), "attempt_rate_limited") == [wait] * 3


def test_one_kind_of_error_does_not_spend_anothers_attempts() -> None:
    throttled = Attempts(rate_limited=3)

    assert decide(UnavailableError("down"), throttled, now=NOW) == RetryAfter(1, "attempt_transient")
    assert isinstance(decide(RateLimitedError("429"), throttled, now=NOW), FailStep)


def test_the_entity_fails_with_the_errors_own_words() -> None:
    error = AuthenticationError("the key is refused", hint="enter a new one")
    down = UnavailableError("502", hint="wait")

    assert decide(error, FRESH, now=NOW) == FailStep("AUTH_FAILED", "the key is refused", "enter a new one")
    assert decide(down, SPENT, now=NOW) == FailStep("NETWORK_ERROR", "502", "wait")


@pytest.mark.parametrize("error", [UnavailableError("502"), UnusableBodyError("html"), RateLimitedError("429")])
def test_what_retries_did_not_mend_says_what_to_do(error: HeadraceError) -> None:
    failed = decide(error, SPENT, now=NOW)
    assert isinstance(failed, FailStep)
    assert "ync again" in failed.hint


def test_a_bugs_text_goes_nowhere() -> None:
    assert decide(ValueError("token=s3cret"), SPENT, now=NOW) == DeadLetter("unexpected ValueError", "INTERNAL_ERROR")


def test_a_poisoned_message_says_why_within_limits() -> None:
    assert decide(PoisonMessageError("no such run"), FRESH, now=NOW) == DeadLetter("no such run", "INTERNAL_ERROR")
    reason = decide(PoisonMessageError("x" * 9_999), FRESH, now=NOW)
    assert isinstance(reason, DeadLetter)
    assert len(reason.reason) == 500


def test_parking_trusts_the_wait_and_not_another_machines_clock() -> None:
    error = ParkError("later", resume_at=NOW + 10_000, slot="s1", wait=12.5)

    assert decide(error, FRESH, now=NOW) == Park(NOW + 12.5, "s1")


@pytest.mark.parametrize("stop", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
def test_a_stop_is_not_a_failure(stop: BaseException) -> None:
    assert decide(stop, SPENT, now=NOW) == Pause()


def test_of_several_errors_an_outage_explains_the_others() -> None:
    errors = [ValueError("x"), ExceptionGroup("inner", [PlatformAwayError("redis")])]

    assert decide(ExceptionGroup("both", errors), FRESH, now=NOW) == Pause()
    assert decide(ExceptionGroup("one", [DataError("x")]), FRESH, now=NOW) == FailStep("DATA_ERROR", "x", "")


def test_a_header_that_is_no_count_is_no_attempt() -> None:
    headers = {"attempt_transient": "many", "attempt_rate_limited": -4, "attempt_internal": 2}

    assert Attempts.of(headers) == Attempts(0, 0, 2)
    assert with_attempt({"trace": "t", "attempt_internal": 2}, "attempt_internal") == {
        "trace": "t",
        "attempt_internal": 3,
    }
