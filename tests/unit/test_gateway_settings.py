"""The gateway refuses to start on a missing, short or default secret, and names the setting."""

import pytest

from services.gateway.settings import GatewaySettings
from shared.config import load
from shared.errors import StartupError

GOOD = {
    "HEADRACE_JWT_SECRET": "q8Zk2vJx0mT5rYb7nW4sLd9cHf3gPa6e",
    "HEADRACE_SEAL_KEYS": "kid:key",
    "HEADRACE_WEBHOOK_KEYS": "kid:key",
}


def test_defaults() -> None:
    settings = load(GatewaySettings, GOOD)
    assert (settings.gateway_host, settings.gateway_port, settings.jwt_audience) == ("127.0.0.1", 8080, "authenticated")
    assert GOOD["HEADRACE_JWT_SECRET"] not in repr(settings)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "tiny-3Kq",
        "a" * 64,
        "abababababababababababababababababab",
        "super-secret-jwt-token-with-at-least-32-characters-long",
    ],
)
def test_a_weak_secret_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(StartupError) as refused:
        load(GatewaySettings, GOOD | {"HEADRACE_JWT_SECRET": secret})
    assert "HEADRACE_JWT_SECRET" in refused.value.message
    assert not secret or secret not in refused.value.message


@pytest.mark.parametrize("missing", ["HEADRACE_SEAL_KEYS", "HEADRACE_WEBHOOK_KEYS", "HEADRACE_JWT_SECRET"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(StartupError) as refused:
        load(GatewaySettings, {name: text for name, text in GOOD.items() if name != missing})
    assert missing in refused.value.message


def test_a_secret_a_key_set_or_both() -> None:
    both = GOOD | {"HEADRACE_JWKS_URL": "https://example.com/jwks.json"}
    load(GatewaySettings, both)
    load(GatewaySettings, both | {"HEADRACE_JWT_SECRET": ""})
