"""What a status and a body mean, as data: the one table from a vendor's answer to an error of ours."""

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DataError,
    HeadraceError,
    RateLimitedError,
    UnavailableError,
    UnusableBodyError,
)

MAX_RETRY_AFTER = 3_600.0
MIN_RETRY_AFTER = 1.0

Meaning = Literal["configuration", "authentication", "data", "unavailable", "rate_limited", "no_body"]

_URL_HINT = "Check the URL, method and parameters in the source's configuration."
_ACCESS_HINT = "Check the credentials, and that they may read this data."


class StatusRule(NamedTuple):
    """What one status asks the caller to do."""

    meaning: Meaning
    says: str
    hint: str = ""


RULES: Mapping[int, StatusRule] = {
    204: StatusRule("no_body", "sent no content"),
    205: StatusRule("no_body", "sent no content"),
    206: StatusRule("no_body", "sent a part of the answer that was asked for whole"),
    304: StatusRule("unavailable", "says that nothing has changed since an answer that we do not have"),
    400: StatusRule("configuration", "refused the request", _URL_HINT),
    401: StatusRule("authentication", "refused the credentials", _ACCESS_HINT),
    402: StatusRule("configuration", "asks for payment", "Check that the vendor's plan includes its API."),
    403: StatusRule("authentication", "denied access", _ACCESS_HINT),
    404: StatusRule("configuration", "has nothing at this address", _URL_HINT),
    405: StatusRule("configuration", "does not take this method", _URL_HINT),
    406: StatusRule("configuration", "cannot answer in the form that was asked for", _URL_HINT),
    407: StatusRule("unavailable", "is behind a proxy that refused us"),
    408: StatusRule("unavailable", "timed out waiting for the request"),
    410: StatusRule("configuration", "has withdrawn this address", _URL_HINT),
    422: StatusRule("configuration", "could not process the request", _URL_HINT),
    425: StatusRule("unavailable", "asked to try again later"),
    429: StatusRule("rate_limited", "is limiting our requests"),
}
FAMILIES: Mapping[int, StatusRule] = {
    1: StatusRule("data", "sent no final answer"),
    3: StatusRule("configuration", "redirects to nowhere", _URL_HINT),
    4: StatusRule("data", "refused the request"),
    5: StatusRule("unavailable", "has a fault"),
}

_ERRORS: Mapping[Meaning, type[HeadraceError]] = {
    "configuration": ConfigurationError,
    "authentication": AuthenticationError,
    "data": DataError,
    "unavailable": UnavailableError,
    "no_body": UnusableBodyError,
    "rate_limited": RateLimitedError,
}
_STRAYED_HINT = "It redirects to another origin, where credentials are never sent: configure the final address."

_JSON_START = (b"{", b"[")
_HTML_START = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
SNIFF_BYTES = 1_024


def rule_for(status: int) -> StatusRule | None:
    """None: a good answer with a body. Statuses that nobody knows count as a fault of the server."""
    if status in RULES:
        return RULES[status]
    return None if 200 <= status < 300 else FAMILIES.get(status // 100, FAMILIES[5])


def status_error(status: int, place: str, *, retry_after: float | None, strayed: bool = False) -> HeadraceError | None:
    """The error that an answer of this status is, None when it is good.

    `place` is the URL without its query; `strayed`: a redirect led to another origin, where no secrets were sent.
    """
    rule = rule_for(status)
    if rule is None:
        return None
    message = f"{place} {rule.says} (status {status})"
    error: HeadraceError
    if rule.meaning == "rate_limited":
        error = RateLimitedError(message, retry_after=retry_after, hint=rule.hint)
    else:
        hint = _STRAYED_HINT if strayed and rule.meaning == "authentication" else rule.hint
        error = _ERRORS[rule.meaning](message, hint=hint)
    error.status = status
    return error


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Retry-After (seconds or an HTTP date) as seconds from `now`, between 1 s and 1 h; None when unreadable."""
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", text):
        seconds = float(text)
    else:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:  # "-0000" in the date: UTC without saying so
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return min(max(seconds, MIN_RETRY_AFTER), MAX_RETRY_AFTER)


def check_body_start(start: bytes, content_type: str, place: str) -> None:
    """Raises UnusableBodyError when a body that begins with `start` is empty or HTML where data was due.

    Many small servers label JSON as text/html: a body that starts as JSON is believed over its label.
    """
    for mark in _MARKS:
        start = start.removeprefix(mark)
    visible = start.replace(b"\x00", b"").lstrip()
    if not visible:
        raise UnusableBodyError(f"{place} sent an empty body")
    media_type = content_type.partition(";")[0].strip().lower()
    labelled = media_type in _HTML_TYPES and not visible.startswith(_JSON_START)
    if labelled or _HTML_START.match(visible[:SNIFF_BYTES]):
        raise UnusableBodyError(
            f"{place} sent a web page where data was due",
            hint="This is often a login or maintenance page: open the address in a browser and see what it says.",
        )
