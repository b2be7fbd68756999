"""Every way a call can break, as an error of ours. A test walks all of aiohttp's errors through here."""

import ssl
from typing import NamedTuple

import aiohttp

from shared.errors import ConfigurationError, HeadraceError, UnavailableError, UnusableBodyError

WIRE_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""All that aiohttp may raise for a call: its own, the loop's timeouts, the system's and, for odd input, ValueError."""


class _Failure(NamedTuple):
    causes: tuple[type[BaseException], ...]
    becomes: type[ConfigurationError | UnavailableError]
    says: str
    hint: str = ""


# In this order: many of these are kinds of each other.
_CALL_FAILURES = (
    _Failure(
        (aiohttp.ServerFingerprintMismatch, ssl.SSLCertVerificationError),
        ConfigurationError,
        "has a certificate that is not trusted",
        "It is expired, made for another name, or of an unknown authority.",
    ),
    _Failure(
        (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.RedirectClientError, aiohttp.TooManyRedirects),
        ConfigurationError,
        "cannot be called",
        "Check the URL.",
    ),
    _Failure(
        (aiohttp.ClientConnectorDNSError,), UnavailableError, "has a host name that was not found", "Check the URL."
    ),
    _Failure((ssl.SSLError, aiohttp.ClientSSLError), UnavailableError, "made no secure connection with us"),
    _Failure((TimeoutError,), UnavailableError, "did not answer in time"),
    _Failure((aiohttp.ClientResponseError,), UnavailableError, "did not answer in proper HTTP"),
    _Failure((aiohttp.ClientConnectorError,), UnavailableError, "could not be connected to"),
    _Failure((aiohttp.ClientError, OSError), UnavailableError, "dropped the connection"),
    _Failure((ValueError,), ConfigurationError, "would be sent a header or parameter that HTTP cannot carry"),
)


def call_error(error: BaseException, place: str) -> HeadraceError:
    """Before an answer began. `str(error)` is never used: it would show the URL with its query."""
    for failure in _CALL_FAILURES:
        if isinstance(error, failure.causes):
            return failure.becomes(f"{place} {failure.says}", hint=failure.hint)
    raise error


def body_error(error: BaseException, place: str) -> HeadraceError:
    """While the body was being read: an answer that began and did not end."""
    if isinstance(error, TimeoutError):
        return UnavailableError(f"{place} stopped sending in the middle of its answer")
    return UnusableBodyError(f"{place} sent a body that was cut off")
