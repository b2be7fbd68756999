"""Everything about the vendor that tests can change: where its documents contradict each other, and its limits."""

from datetime import date
from typing import Literal

import msgspec

Windows = tuple[tuple[int, float], ...]
"""At most n arrivals in any window of that many seconds, for each (n, seconds)."""


class Switches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The defaults are what the vendor documents; of two documented behaviours, the one that is harder on a caller."""

    # tokens
    access_seconds: int = 3600
    refresh_days: float = 100
    """A refresh token that was not used for so long is dead; each use starts the time anew."""
    refresh_seconds_said: int = 8_726_400
    """`x_refresh_token_expires_in` right after a use: samples say 8726400 (101 days), texts 100 days."""
    rotate_after_hours: float = 24
    """A refresh this long after the value was issued brings a new value; 0: every refresh does."""
    grace_hours: float = 0
    """How long the old value still works after that (the FAQ: 24, other texts: 0)."""
    hard_expiry_seconds: int = 157_680_000
    """Five years after the consent the connection ends whatever happens."""
    reuse: Literal["refuse", "revoke"] = "refuse"
    """What a value that was replaced and is out of grace does: an error, or the end of the connection too."""
    concurrent: Literal["revoke", "refuse", "allow"] = "revoke"
    """What a second refresh of one connection does while the first is in flight."""
    error_description: bool = True
    code_seconds: int = 600

    # limits; None or an empty tuple: no limit
    realm_limits: Windows = ((500, 60.0),)
    app_limits: Windows = ((10, 1.0), (800, 60.0))
    """Of one app in one realm."""
    batch_realm_limits: Windows = ((120, 60.0),)
    batch_app_limits: Windows = ((40, 60.0),)
    concurrency: int | None = 10
    """Requests in flight of one app in one realm."""
    throttle_body: Literal["xml", "Fault", "fault"] = "xml"
    retry_after: bool = False
    """Whether a 429 has a Retry-After; the documents say to wait 60 seconds, whatever it says."""
    timeout_seconds: float = 120

    # requests
    require_minor_version: bool = False
    """Refuse calls without `minorversion`; the vendor takes them as version 75."""
    batch_max: int = 30
    cdc_days: int = 30
    cdc_cap: int = 1000
    cdc_too_old_code: str = "500"
    query_default: int = 100
    query_max: int = 1000
    column_lists: Literal["accept", "refuse"] = "accept"
    total_count: bool = True
    """Whether a query's answer says how many records there are in all."""
    requestid_reuse: Literal["fault", "replay"] = "fault"
    """A used `requestid` with other content: fault 600, or the first reply again."""

    # data
    quantity_update: Literal["ignore", "fault"] = "ignore"
    read_inactive: Literal["record", "610"] = "record"
    sparse_needs_required: bool = False
    duplicate_doc_number: Literal["fault", "allow"] = "fault"
    auto_doc_number: bool = True
    received: bool = True
    """Whether order lines say how much arrived; some companies' lines never do."""
    books_closed_until: date | None = None
    subscription: Literal["valid", "lapsed", "lapsed_in_200"] = "valid"

    # faults
    faults_in_200: bool = False
    """Validation faults come with HTTP 200."""
    echo_token: bool = True
    """The detail of a 401 has the caller's token in it."""
    other_realm_status: Literal[401, 403] = 401
