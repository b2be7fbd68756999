"""The door: everything below /api/, and the start of a consent, is refused without a proof of who calls."""

from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.identity import Identity, TokenVerifier, UnauthenticatedError
from services.gateway.problems import ProblemError, unavailable
from services.gateway.scopes import allowed, needed_scope, refused
from services.gateway.sessions import CSRF_HEADER, Session, Sessions, is_forged
from shared.errors import PlatformAwayError

PROTECTED = "/api/"
_CONSENT = "/oauth/quickbooks/start"
"""A browser is sent there, so it is not below /api/; who comes back is proven by the consent itself."""
_SIGN_IN = "/api/session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Authentication:
    """Guards every path below /api/, also of routes to come: a new route cannot forget to ask. And consents' start."""

    def __init__(self, app: ASGIApp, verifier: TokenVerifier, sessions: Sessions) -> None:
        self._app = app
        self._verifier = verifier
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"].startswith(PROTECTED) or scope["path"] == _CONSENT):
            try:
                identity = await self._admitted(scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
            if identity is not None:
                scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Identity | None:
        """None: nobody proved anything, and the path asks for it itself."""
        headers = Headers(scope=scope)
        if "authorization" not in headers:
            session = await self._session(headers)
            if session is not None:
                if scope["method"] not in _SAFE and is_forged(session, headers.get(CSRF_HEADER)):
                    raise _forged()
                return session.identity
            if scope["path"] == _SIGN_IN:
                return None
        try:
            identity = await self._verifier.verify(_bearer(headers))
        except UnauthenticatedError as error:
            raise unauthenticated(str(error)) from None
        except PlatformAwayError:
            raise _cannot_tell() from None
        if identity.token_id is not None:
            needed = needed_scope(scope["method"], scope["path"])
            if not allowed(identity.scopes, needed):
                raise refused(needed)
        return identity

    async def _session(self, headers: Headers) -> Session | None:
        try:
            return await self._sessions.of(headers.get("cookie"))
        except PlatformAwayError:
            raise _cannot_tell() from None


def _cannot_tell() -> ProblemError:
    return unavailable("Nobody can be signed in right now.", "Nothing was done; try again soon.")


def _bearer(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if not values:
        raise UnauthenticatedError("a bearer token is needed")
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("the Authorization header is not `Bearer <token>`")
    return token.strip()


_PROVE: Final = "Send `Authorization: Bearer <token>` with a valid token of a signed-in user."


def unauthenticated(reason: str, hint: str = _PROVE) -> ProblemError:
    """401 that says why, without quoting what was shown."""
    return ProblemError(
        401,
        "unauthenticated",
        f"{reason[0].upper()}{reason[1:]}.",
        category="AUTH_FAILED",
        hint=hint,
        headers={"WWW-Authenticate": "Bearer"},
    )


def _forged() -> ProblemError:
    return ProblemError(
        403,
        "forbidden",
        "The request does not carry its session's token.",
        category="AUTH_FAILED",
        hint="Send the session's `csrf_token` in the header X-CSRF-Token.",
    )


_SCHEME = HTTPBearer(
    auto_error=False, description="A JWT as Supabase issues it (sub, role, aud, exp), or an API token of ours."
)


async def current_identity(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> Identity:
    """The caller; the middleware has proven it."""
    identity = getattr(request.state, "identity", None)
    if not isinstance(identity, Identity):
        raise unauthenticated("a bearer token is needed")
    return identity


CurrentIdentity = Annotated[Identity, Depends(current_identity)]
