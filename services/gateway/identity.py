"""Who calls, whatever proved it."""

from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from shared.contracts.ids import UserId
from shared.storage.api_tokens import Scope
from shared.storage.audit import Actor

ALL_SCOPES: frozenset[Scope] = frozenset({"read", "sync", "write", "admin"})


@dataclass(frozen=True, slots=True)
class Identity:
    """The authenticated caller. `expires_at`: Unix seconds; a stream ends then."""

    user_id: UserId
    expires_at: float
    is_admin: bool
    token_id: UUID | None = None
    """Of the API token that was shown; None: a person signed in."""
    scopes: frozenset[Scope] = ALL_SCOPES

    @property
    def actor(self) -> Actor:
        """As the audit log names the caller."""
        return Actor("user", str(self.user_id)) if self.token_id is None else Actor("token", str(self.token_id))


class UnauthenticatedError(Exception):
    """The token proves nothing; the message says why, without quoting it."""


class TokenVerifier(Protocol):
    """Turns a bearer token into an identity. Raises UnauthenticatedError, PlatformAwayError when it cannot tell now."""

    async def verify(self, token: str) -> Identity: ...


def identity_of(claims: dict[str, Any]) -> Identity:
    """The identity in claims whose signature, audience and times are proven. Raises UnauthenticatedError."""
    if claims.get("role") != "authenticated":
        raise UnauthenticatedError("the token's role is not `authenticated`")
    try:
        user_id = UserId(UUID(claims["sub"]))
    except (ValueError, AttributeError, TypeError):
        raise UnauthenticatedError("the token's subject is not a user's id") from None
    metadata = claims.get("app_metadata")
    is_admin = isinstance(metadata, dict) and metadata.get("headrace_role") == "admin"
    return Identity(user_id, float(claims["exp"]), is_admin)
