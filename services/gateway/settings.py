"""The gateway's settings."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from yarl import URL

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


def _origins(text: str) -> str:
    for origin in filter(None, (each.strip() for each in text.split(","))):
        url = URL(origin)
        if url.scheme not in ("http", "https") or not url.host or str(url.origin()) != origin.rstrip("/"):
            raise ValueError(f"{origin} is not an origin such as https://app.example.com")
    return text


class GatewaySettings(SettingsModel):
    """What the gateway reads beside the platform's settings; docs/operations.md lists the variables."""

    jwt_secret: Annotated[SecretStr, AfterValidator(_strong)] | None = None
    """HS256 key of the tokens: Supabase's JWT secret."""
    jwks_url: str | None = None
    """Key set of the tokens (ES256, RS256), instead of the secret or beside it."""
    jwt_audience: str = Field(default="authenticated", min_length=1)
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8080, ge=0, le=65535)
    """0: any free port."""
    egress_allow: str = ""
    """Where vendors' credentials may be sent beside the vendors' own addresses."""
    seal_keys: str = Field(min_length=1)
    """Public halves of the sealing keys."""
    webhook_keys: SecretStr
    """For the signing secrets of webhooks: the gateway's own."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Comma-separated origins whose pages may call the API from a browser; none by default."""
    public_url: Annotated[str, AfterValidator(_origins)] = ""
    """How browsers reach the gateway, for cookies and call-backs."""
    requests_per_minute: int = Field(default=6_000, ge=10, le=100_000)
    """Of one user, at one gateway process."""

    @model_validator(mode="after")
    def _some_proof(self) -> Self:
        if self.jwt_secret is None and self.jwks_url is None:
            raise ValueError("HEADRACE_JWT_SECRET or HEADRACE_JWKS_URL is needed")
        return self

    @property
    def allowed_origins(self) -> list[str]:
        """The origins of `cors_origins`."""
        return [each.strip().rstrip("/") for each in self.cors_origins.split(",") if each.strip()]
