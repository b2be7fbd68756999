"""The status table, Retry-After and what counts as a body."""

from datetime import UTC, datetime

import pytest

from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DataError,
    HeadraceError,
    RateLimitedError,
    UnavailableError,
    UnusableBodyError,
)
from shared.http.status import check_body_start, retry_after_seconds, status_error

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (201, None),
        (203, None),
        (204, UnusableBodyError),
        (206, UnusableBodyError),
        (300, ConfigurationError),
        (302, ConfigurationError),
        (304, UnavailableError),
        (400, ConfigurationError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, ConfigurationError),
        (405, ConfigurationError),
        (407, UnavailableError),
        (408, UnavailableError),
        (410, ConfigurationError),
        (413, DataError),
        (418, DataError),
        (422, ConfigurationError),
        (425, UnavailableError),
        (429, RateLimitedError),
        (500, UnavailableError),
        (503, UnavailableError),
        (599, UnavailableError),
        (999, UnavailableError),
    ],
)
def test_each_status_has_its_error(status: int, expected: type[HeadraceError] | None) -> None:
    error = status_error(status, "https://a.example/items", retry_after=7.0)

    assert type(error) is (expected or type(None))
    if error is not None:
        assert "https://a.example/items" in error.message
        assert str(status) in error.message


def test_a_429_carries_the_wait_and_a_503_is_still_an_outage() -> None:
    limited = status_error(429, "x", retry_after=7.0)

    assert isinstance(limited, RateLimitedError)
    assert limited.retry_after == 7.0
    assert type(status_error(503, "x", retry_after=7.0)) is UnavailableError


def test_a_refusal_after_a_redirect_elsewhere_says_why() -> None:
    error = status_error(401, "x", retry_after=None, strayed=True)

    assert isinstance(error, AuthenticationError)
    assert "another origin" in error.hint


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("0", 1.0),
        ("99999999", 3600.0),
        ("999999999999999999999", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 1.0),
        ("Sun, 22 Nov 2026 10:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 10:00:00 GMT", 3600.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize(
    ("start", "content_type"),
    [
        (b"", "application/json"),
        (b" \r\n\t", "application/json"),
        (b"\xef\xbb\xbf \n", "text/csv"),
        (b"<!DOCTYPE html><title>Sign in", "application/json"),
        (b"\n\n  <html lang=en>", "text/csv"),
        (b"\xef\xbb\xbf<!doctype   HTML>", ""),
        (b"<!-- cached -->\n<!-- twice --><html>", ""),
        (b"<BODY onload=x>", ""),
        (b"Please sign in", "text/html; charset=utf-8"),
        (b"<div>", "TEXT/HTML"),
        ("<html>".encode("utf-16"), ""),
    ],
)
def test_pages_and_nothing_are_no_data(start: bytes, content_type: str) -> None:
    with pytest.raises(UnusableBodyError) as caught:
        check_body_start(start, content_type, "https://a.example/items")
    assert caught.value.category == "DATA_ERROR"


@pytest.mark.parametrize(
    ("start", "content_type"),
    [
        (b"[]", "application/json"),
        (b"0", ""),
        (b'{"a":"<html>"}', "text/html"),  # many small servers label JSON so
        (b"sku,name\n1,<html>", "text/csv"),
        (b"<htmlish>", ""),
    ],
)
def test_data_is_data(start: bytes, content_type: str) -> None:
    check_body_start(start, content_type, "https://a.example/items")
