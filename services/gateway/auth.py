"""Who calls: bearer tokens as Supabase issues them. Everything below /api/ is refused without one."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.problems import ProblemError
from shared.contracts.ids import UserId

MAX_TOKEN_CHARS = 8_192
LEEWAY_SECONDS = 30
PROTECTED = "/api/"


@dataclass(frozen=True, slots=True)
class Identity:
    """The authenticated caller. `expires_at`: Unix seconds; a stream ends then."""

    user_id: UserId
    expires_at: float
    is_admin: bool


class UnauthenticatedError(Exception):
    """The token proves nothing; the message says why, without quoting it."""


class TokenVerifier(Protocol):
    """Turns a bearer token into an identity. Raises UnauthenticatedError."""

    async def verify(self, token: str) -> Identity: ...


class SecretTokenVerifier:
    """Tokens signed with a shared secret. The algorithm is ours to name, never the token's."""

    def __init__(self, secret: str, audience: str) -> None:
        self._secret = secret
        self._audience = audience

    async def verify(self, token: str) -> Identity:
        if len(token) > MAX_TOKEN_CHARS:
            raise UnauthenticatedError("the token is too long")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(_reason(error)) from None
        return identity_of(claims)


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


def _reason(error: jwt.PyJWTError) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "the token has expired"
    if isinstance(error, jwt.InvalidAudienceError):
        return "the token is for another audience"
    if isinstance(error, jwt.InvalidAlgorithmError):
        return "the token's algorithm is not accepted"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"the token has no `{error.claim}`"
    return "the token is not valid"


class Authentication:
    """Guards every path below /api/, also of routes to come: a new route cannot forget to ask."""

    def __init__(self, app: ASGIApp, verifier: TokenVerifier) -> None:
        self._app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PROTECTED):
            try:
                identity = await self._verifier.verify(_bearer(Headers(scope=scope)))
            except UnauthenticatedError as error:
                await _unauthenticated(str(error)).response()(scope, receive, send)
                return
            scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, receive, send)


def _bearer(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if not values:
        raise UnauthenticatedError("a bearer token is needed")
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("the Authorization header is not `Bearer <token>`")
    return token.strip()


def _unauthenticated(reason: str) -> ProblemError:
    return ProblemError(
        401,
        "unauthenticated",
        f"{reason[0].upper()}{reason[1:]}.",
        category="AUTH_FAILED",
        hint="Send `Authorization: Bearer <token>` with a valid token of a signed-in user.",
        headers={"WWW-Authenticate": "Bearer"},
    )


_SCHEME = HTTPBearer(auto_error=False, description="A JWT as Supabase issues it: sub, role, aud, exp.")


def current_identity(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> Identity:
    """The caller; the middleware has proven it."""
    identity = getattr(request.state, "identity", None)
    if not isinstance(identity, Identity):
        raise _unauthenticated("a bearer token is needed")
    return identity


CurrentIdentity = Annotated[Identity, Depends(current_identity)]
