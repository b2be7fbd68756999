"""The gateway's settings."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from shared.config import SettingsModel

MIN_SECRET_BYTES = 32
_KNOWN_SECRETS = ("super-secret-jwt-token-with-at-least-32-characters-long", "your-super-secret-jwt-token")
_MIN_DISTINCT = 8


def _strong(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"is too short: at least {MIN_SECRET_BYTES} bytes are needed")
    if len(set(text)) < _MIN_DISTINCT or any(known in text for known in _KNOWN_SECRETS):
        raise ValueError("is a default or guessable secret, not a random one")
    return secret


class GatewaySettings(SettingsModel):
    """HEADRACE_JWT_SECRET, HEADRACE_JWT_AUDIENCE, HEADRACE_GATEWAY_HOST, HEADRACE_GATEWAY_PORT, HEADRACE_SEAL_KEYS."""

    jwt_secret: Annotated[SecretStr, AfterValidator(_strong)]
    """HS256 key of the tokens: Supabase's JWT secret."""
    jwt_audience: str = Field(default="authenticated", min_length=1)
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8080, ge=0, le=65535)
    """0: any free port."""
    seal_keys: str = Field(min_length=1)
    """Public halves of the sealing keys."""
