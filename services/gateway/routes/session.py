"""Signing a browser in and out."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.gateway.api_tokens import FOREVER
from services.gateway.auth import unauthenticated
from services.gateway.deps import Deps, GatewayDeps, sessions_of
from services.gateway.identity import Identity
from services.gateway.models import RequestModel
from services.gateway.sessions import COOKIE, Session
from shared.contracts.ids import UserId
from shared.storage.sign_in import take_code

router = APIRouter(prefix="/api/session", tags=["session"])
MAX_CODE_CHARS = 200


class SessionAsked(RequestModel):
    """The code of a one-time link; without it the bearer token of the request is traded."""

    code: Annotated[str, Field(min_length=1, max_length=MAX_CODE_CHARS)] | None = None


class SessionView(BaseModel):
    """Who is signed in, until when (Unix seconds), and what X-CSRF-Token must hold in requests that change."""

    user_id: UserId
    is_admin: bool
    expires_at: float
    csrf_token: str


@router.post("")
async def begin(request: Request, response: Response, deps: Deps, body: SessionAsked | None = None) -> SessionView:
    """Trade a bearer token or a one-time code for a session cookie. A session begets none: it would outlive its end."""
    if body is not None and body.code is not None:
        identity = await identity_of_code(deps, body.code)
        if identity is None:
            raise unauthenticated("the sign-in link was used already or is too old", "Ask for a new link.")
    else:
        known = getattr(request.state, "identity", None)
        if not isinstance(known, Identity) or "authorization" not in request.headers:
            raise unauthenticated("a bearer token or the code of a sign-in link is needed")
        identity = known
    return _view(begin_session(deps, identity, response))


async def identity_of_code(deps: GatewayDeps, code: str) -> Identity | None:
    """Whom a one-time code signs in; from here on it signs in nobody. None: unknown, used or too old."""
    async with deps.database.transaction() as conn:
        signed_in = await take_code(conn, code)
    return None if signed_in is None else Identity(signed_in.user_id, FOREVER, signed_in.is_admin)


def begin_session(deps: GatewayDeps, identity: Identity, response: Response) -> Session:
    """The answer takes a session cookie along."""
    cookie, session = sessions_of(deps).begin(identity)
    response.set_cookie(
        COOKIE.name,
        cookie,
        max_age=int(session.identity.expires_at - deps.clock.unix()),
        path="/",
        httponly=True,
        samesite="Lax",  # type: ignore[arg-type] # as the RFC writes it, and as some readers compare it
        secure=deps.public_url.startswith("https://"),
    )
    return session


def _view(session: Session) -> SessionView:
    return SessionView(
        user_id=session.identity.user_id,
        is_admin=session.identity.is_admin,
        expires_at=session.identity.expires_at,
        csrf_token=session.csrf,
    )


@router.get("")
async def show(request: Request, deps: Deps) -> SessionView:
    """The session of this browser, for a page that was loaded anew."""
    session = await sessions_of(deps).of(request.headers.get("cookie"))
    if session is None:
        raise unauthenticated(
            "no session", "Begin one: POST /api/session with a bearer token or a sign-in link's code."
        )
    return _view(session)


@router.delete("", status_code=204)
async def end(request: Request, deps: Deps) -> Response:
    """Forget the session in this browser; its cookie signs in nobody any more, wherever it was copied to."""
    sessions = sessions_of(deps)
    session = await sessions.of(request.headers.get("cookie"))
    if session is not None:
        await sessions.end(session)
    gone = Response(status_code=204)
    gone.delete_cookie(
        COOKIE.name, path="/", httponly=True, samesite="lax", secure=deps.public_url.startswith("https://")
    )
    return gone
