"""Signatures of webhooks, checked on the raw body before a byte of it is parsed."""

import base64
import hashlib
import hmac
import re

TOLERANCE_SECONDS = 300
_TIMESTAMP = re.compile(r"\d{1,12}", re.ASCII)
_GENERIC = "sha256="


def generic_signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=<hex HMAC-SHA256 of "timestamp.rawbody">`."""
    return _GENERIC + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def generic_holds(secret: bytes, timestamp: str, signature: str, body: bytes, now: float) -> bool:
    """True when the signature is this body's and its time (Unix seconds) is within five minutes of `now`."""
    if _TIMESTAMP.fullmatch(timestamp) is None or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = generic_signature(secret, timestamp, body)
    return hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace"))


def intuit_holds(verifier: bytes, signature: str, body: bytes) -> bool:
    """True when `intuit-signature` is base64 of HMAC-SHA256 of the raw body under the app's verifier token.

    Source: Intuit developer documentation, webhooks.
    """
    expected = base64.b64encode(hmac.new(verifier, body, hashlib.sha256).digest())
    return hmac.compare_digest(expected, signature.encode("utf-8", "replace"))


def digest(signature: str) -> bytes:
    """What is remembered of a delivery, 32 bytes."""
    return hashlib.sha256(signature.lower().encode("utf-8", "replace")).digest()
