"""Every error that aiohttp can raise becomes one of ours, and none shows its text."""

import ssl
from collections.abc import Iterator

import aiohttp
import pytest

from shared.errors import ConfigurationError, HeadraceError, UnavailableError, UnusableBodyError
from shared.http.failures import WIRE_ERRORS, body_error, call_error


def family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


CLIENT_ERRORS = sorted(set(family(aiohttp.ClientError)), key=lambda error: error.__name__)
SYSTEM_ERRORS = [OSError, ConnectionResetError, TimeoutError, ssl.SSLError, ssl.SSLCertVerificationError, ValueError]


@pytest.mark.parametrize("kind", [*CLIENT_ERRORS, *SYSTEM_ERRORS])
def test_every_error_is_mapped(kind: type[BaseException]) -> None:
    error = kind.__new__(kind)  # without its arguments: only its class may matter

    assert isinstance(error, WIRE_ERRORS)
    for mapped in (call_error(error, "https://a.example/x"), body_error(error, "https://a.example/x")):
        assert isinstance(mapped, HeadraceError)
        assert type(mapped) in {ConfigurationError, UnavailableError, UnusableBodyError}
        assert "https://a.example/x" in mapped.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (aiohttp.ClientConnectorCertificateError, ConfigurationError),
        (ssl.SSLCertVerificationError, ConfigurationError),
        (aiohttp.ClientConnectorSSLError, UnavailableError),
        (aiohttp.InvalidURL, ConfigurationError),
        (aiohttp.ClientConnectorDNSError, UnavailableError),
        (aiohttp.ServerDisconnectedError, UnavailableError),
        (aiohttp.SocketTimeoutError, UnavailableError),
        (ConnectionResetError, UnavailableError),
    ],
)
def test_who_must_act(kind: type[BaseException], expected: type[HeadraceError]) -> None:
    assert type(call_error(kind.__new__(kind), "p")) is expected


def test_a_bug_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(KeyError):
        call_error(KeyError("x"), "p")
