"""The door: everything below /api/ is refused without a proof of who calls."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.identity import Identity, TokenVerifier, UnauthenticatedError
from services.gateway.problems import ProblemError, unavailable
from services.gateway.scopes import allowed, needed_scope, refused
from shared.errors import PlatformAwayError

PROTECTED = "/api/"


class Authentication:
    """Guards every path below /api/, also of routes to come: a new route cannot forget to ask."""

    def __init__(self, app: ASGIApp, verifier: TokenVerifier) -> None:
        self._app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PROTECTED):
            try:
                identity = await self._admitted(scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
            scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Identity:
        try:
            identity = await self._verifier.verify(_bearer(Headers(scope=scope)))
        except UnauthenticatedError as error:
            raise _unauthenticated(str(error)) from None
        except PlatformAwayError:
            raise unavailable("Nobody can be signed in right now.", "Nothing was done; try again soon.") from None
        if identity.token_id is not None:
            needed = needed_scope(scope["method"], scope["path"])
            if not allowed(identity.scopes, needed):
                raise refused(needed)
        return identity


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


_SCHEME = HTTPBearer(
    auto_error=False, description="A JWT as Supabase issues it (sub, role, aud, exp), or an API token of ours."
)


def current_identity(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> Identity:
    """The caller; the middleware has proven it."""
    identity = getattr(request.state, "identity", None)
    if not isinstance(identity, Identity):
        raise _unauthenticated("a bearer token is needed")
    return identity


CurrentIdentity = Annotated[Identity, Depends(current_identity)]
