"""Validators of answers, and 304 for who has the same already (RFC 9110, 13)."""

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal

from aiohttp import web

ValidatorMode = Literal["none", "strong", "weak", "modified", "lying", "confused"]
"""`strong`, `weak`: the kind of ETag, with Last-Modified where the time is known; `modified`: Last-Modified alone;
`none`: no validators, never a 304. Faults, as `strong` but with a 304 for whoever asks, whatever has changed: `lying`
says the tag that it was asked for, `confused` the one that it has now."""


def etag_of(body: bytes) -> str:
    """A strong tag of these bytes."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def validators(request: web.Request, mode: ValidatorMode, etag: str, modified: datetime | None) -> dict[str, str]:
    """The headers of an answer."""
    headers: dict[str, str] = {}
    if mode == "lying":
        etag = request.headers.get("If-None-Match", etag)
    if mode not in ("none", "modified"):
        headers["ETag"] = f"W/{etag}" if mode == "weak" else etag
    if mode != "none" and modified is not None:
        headers["Last-Modified"] = format_datetime(modified, usegmt=True)
    return headers


def unchanged(request: web.Request, mode: ValidatorMode, etag: str, modified: datetime | None) -> bool:
    """If-None-Match decides alone where it is sent, If-Modified-Since where it is not (RFC 9110, 13.2.2)."""
    wanted, since = request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")
    if mode == "none":
        return False
    if mode in ("lying", "confused"):
        return wanted is not None or since is not None
    if wanted is not None and mode != "modified":
        tags = [tag.strip().removeprefix("W/") for tag in wanted.split(",")]
        return "*" in tags or etag in tags
    if since is None or modified is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    return modified <= (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
