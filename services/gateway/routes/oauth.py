"""Connecting a source at the vendor's own page: there, and back."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.gateway import browser_bond
from services.gateway.auth import CurrentIdentity
from services.gateway.consenting import Outcome, Returned, begin_consent, finish_consent
from services.gateway.deps import Deps, GatewayDeps, sessions_of
from services.gateway.plain_page import page
from services.gateway.problems import ProblemError
from shared.contracts.ids import SourceId
from shared.errors import PlatformAwayError

router = APIRouter(prefix="/oauth/quickbooks", include_in_schema=False)

_PATH = "/oauth/quickbooks"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@router.get("/start", status_code=302, response_class=Response)
async def start(source_id: SourceId, request: Request, identity: CurrentIdentity, deps: Deps) -> Response:
    """Send the browser to QuickBooks' consent page for a source of one's own."""
    headers = request.headers
    session = None
    if "authorization" not in headers:
        session = await sessions_of(deps).of(headers.get("cookie"))
    if session is not None:
        cookie, bond = None, browser_bond.of_session(session)
    else:
        cookie, bond = browser_bond.fresh(deps.webhook_box, identity.user_id)
    address = await begin_consent(deps, identity, bond, source_id, _redirect_uri(request, deps))
    answer = RedirectResponse(address, 302)
    if cookie is not None:
        answer.set_cookie(
            browser_bond.COOKIE.name,
            cookie,
            max_age=browser_bond.SECONDS,
            path=_PATH,
            httponly=True,
            samesite="lax",
            secure=deps.public_url.startswith("https://"),
        )
    return answer


@router.get("/callback", response_class=HTMLResponse)
async def callback(request: Request, deps: Deps) -> HTMLResponse:
    """Where QuickBooks sends the browser back to; the answer is a page for a person."""
    query, cookies = request.query_params, request.headers.get("cookie")
    returned = Returned(
        state=query.get("state", ""),
        code=query.get("code", ""),
        realm=query.get("realmId", ""),
        error=query.get("error", ""),
    )
    try:
        session = await sessions_of(deps).of(cookies)
        bonds = browser_bond.shown(deps.webhook_box, session, cookies)
        outcome = await finish_consent(deps, bonds, returned)
    except PlatformAwayError:
        away = "The database is away, so nothing was connected."
        return _told(Outcome(503, away, "Connect the source again in a moment.", used=False))
    return _told(outcome)


def _told(outcome: Outcome) -> HTMLResponse:
    advice = f"<p>{escape(outcome.hint)}</p>" if outcome.hint else "<p>You can close this page.</p>"
    title = "Connected to QuickBooks" if outcome.status == 200 else "Not connected to QuickBooks"
    answer = page(title, f"<p>{escape(outcome.message)}</p>{advice}", outcome.status)
    if outcome.used:  # else any page could end a consent under way, by a link with a state of its making
        answer.delete_cookie(browser_bond.COOKIE.name, path=_PATH, httponly=True, samesite="lax")
    return answer


def _redirect_uri(request: Request, deps: GatewayDeps) -> str:
    """As it must be registered with the vendor. Without a public address only this machine's loopback is one."""
    base = deps.public_url
    if not base:
        if request.url.hostname not in _LOOPBACK:
            raise ProblemError(
                409,
                "conflict",
                "The gateway does not know its own address, so nobody could come back to it.",
                hint="Set HEADRACE_PUBLIC_URL to how browsers reach the gateway.",
            )
        base = f"{request.url.scheme}://{request.url.netloc}"
    return f"{base}{_PATH}/callback"
