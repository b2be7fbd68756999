"""QuickBooks' faults as errors of ours: in three forms, under any status, good ones included. Pure.

Forms (Intuit documentation, error codes; the lower-case one and the XML one as clients report them): `{"Fault": …}`,
`{"fault": …}`, and XML even where JSON was asked for. The detail may echo the access token, so it is never shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.connector_sdk.json_body import parse_json
from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DataError,
    HeadraceError,
    RateLimitedError,
    UnavailableError,
)

_RECONNECT = "Open the source and connect to QuickBooks again."
_THEIRS = "Sync again later. Intuit's status page for developers tells of outages."
_OURS = "This is no fault of your data. Report it with the id."
_SCAN_BYTES = 64 * 1024
_XML_CODE = re.compile(rb"""<Error\b[^>]*\bcode\s*=\s*["'](\d{1,6})["']""")
_MARK = re.compile(rb"""["<]fault\b""", re.IGNORECASE)

Meaning = Literal["authentication", "configuration", "data", "unavailable"]
_ERRORS: Mapping[Meaning, type[HeadraceError]] = {
    "authentication": AuthenticationError,
    "configuration": ConfigurationError,
    "data": DataError,
    "unavailable": UnavailableError,
}


@dataclass(frozen=True, slots=True)
class FaultRule:
    """What a code asks of whom."""

    meaning: Meaning
    says: str
    hint: str


_REFUSED = FaultRule("data", "refused our request", _OURS)
RULES: Mapping[str, FaultRule] = {
    "100": FaultRule(
        "authentication",
        "does not open this company with the stored connection",
        f"The connection belongs to another company than realm_id names. {_RECONNECT}",
    ),
    "120": FaultRule(
        "authentication",
        "denies access to the connected user",
        f"Let a company administrator open the source and connect to QuickBooks. {_RECONNECT}",
    ),
    "500": FaultRule("configuration", "does not offer this operation", "Check that the company's plan includes it."),
    "610": FaultRule("data", "has no such record, or it was made inactive", "Sync again."),
    "3100": FaultRule(
        "authentication",
        "does not let the app into this company",
        "Is `environment` right? Development keys open sandbox companies only, production keys real ones only. Or the "
        f"app was disconnected in QuickBooks. {_RECONNECT}",
    ),
    "3200": FaultRule("authentication", "does not accept the access token", _RECONNECT),
    "4000": FaultRule("data", "could not read our query", _OURS),
    "4001": FaultRule("data", "knows a field of our query not at all", _OURS),
    "4002": FaultRule("unavailable", "failed while it worked on our query", _THEIRS),
    "6190": FaultRule(
        "authentication",
        "says that the company's subscription is not valid",
        "Renew the company's QuickBooks subscription, then sync again.",
    ),
    "10000": FaultRule("unavailable", "has a fault of its own", _THEIRS),
}
_THROTTLED = "3001"
_SEVERE = 10_000
"""From here on codes are failures of the vendor's system (Intuit documentation, error codes)."""


class QueryRefusedError(DataError):
    """The statement names what this company's QuickBooks does not filter by (4001)."""


class OperationRefusedError(ConfigurationError):
    """An operation that is refused as it was asked for, for whatever reason a 400 has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a body says went wrong."""

    code: str
    throttled: bool


def judge(status: int, headers: Mapping[str, str], body: bytes) -> HeadraceError | None:
    """The error that an answer is; None when it holds no fault (then its status decides)."""
    fault = fault_in(body, headers.get("content-type", ""))
    if status == 429 or (fault is not None and (fault.throttled or fault.code == _THROTTLED)):
        # Without a Retry-After everybody waits for a minute, as the vendor asks (Intuit documentation, limits).
        return RateLimitedError(
            f"QuickBooks is limiting our requests (status {status})",
            hint="Sync again in a few minutes. Set a lower rate_limit if other apps share the company.",
        )
    if fault is None:
        return None
    rule = _rule(fault.code, status)
    tid = headers.get("intuit_tid", "")
    trace = f", id {tid}" if re.fullmatch(r"[A-Za-z0-9-]{1,64}", tid) else ""
    message = f"QuickBooks {rule.says} (code {fault.code}, status {status}{trace})"
    kind = _ERRORS[rule.meaning]
    if fault.code == "4001":
        kind = QueryRefusedError
    elif fault.code == "500":
        kind = OperationRefusedError
    return kind(message, hint=rule.hint)


def _rule(code: str, status: int) -> FaultRule:
    rule = RULES.get(code)
    if rule is not None:
        return rule
    if status >= 500 or int(code) >= _SEVERE:
        return RULES["10000"]
    if status == 401:
        return RULES["3200"]
    if status == 403:
        return RULES["3100"]
    return _REFUSED


def fault_in(body: bytes, content_type: str) -> Fault | None:
    """The first fault of a body. A long good answer is not searched: faults are short."""
    if len(body) > _SCAN_BYTES or not _MARK.search(body):
        return None
    throttled = b"ThrottleExceeded" in body
    if body.lstrip()[:1] == b"<":
        found = _XML_CODE.search(body)
        if found is None:
            return Fault(_THROTTLED, throttled) if throttled else None
        return Fault(str(int(found[1])), throttled)
    try:
        value = parse_json(body, content_type)
    except HeadraceError:
        return None
    return _json_fault(value, throttled)


def _json_fault(value: Any, throttled: bool) -> Fault | None:
    if not isinstance(value, dict):
        return None
    fault = value.get("Fault") or value.get("fault")
    if not isinstance(fault, dict):
        return None
    errors = fault.get("Error") or fault.get("error") or [{}]
    first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
    code = str(first.get("code", ""))
    return Fault(str(int(code)) if code.isascii() and code.isdecimal() and len(code) <= 6 else "0", throttled)
