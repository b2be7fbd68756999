"""Sessions of browsers: a sealed cookie that scripts cannot read, and a token against forged requests."""

import hmac
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.identity import Identity
from shared.clock import Clock
from shared.contracts.ids import UserId
from shared.errors import SealError
from shared.sealing.symmetric import SymmetricBox

COOKIE: Final = "headrace_session"
CSRF_HEADER: Final = "x-csrf-token"
MAX_SECONDS = 12 * 3600.0
MAX_COOKIE_CHARS = 4_096
_CONTEXT = ("session/v1",)


class _Sealed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: UUID
    is_admin: bool
    expires_at: float
    csrf: str


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. `csrf` comes back in the header X-CSRF-Token with everything that changes."""

    identity: Identity
    csrf: str = field(repr=False)


class Sessions:
    """Makes and opens them. Nothing is stored: the cookie is all there is, sealed under the gateway's own key."""

    def __init__(self, box: SymmetricBox, clock: Clock) -> None:
        self._box = box
        self._clock = clock

    def begin(self, identity: Identity) -> tuple[str, Session]:
        """The cookie's text and the session; it ends with what proved the caller, in twelve hours at the latest."""
        expires_at = min(identity.expires_at, self._clock.unix() + MAX_SECONDS)
        csrf = secrets.token_urlsafe(24)
        sealed = _Sealed(user_id=identity.user_id, is_admin=identity.is_admin, expires_at=expires_at, csrf=csrf)
        cookie = self._box.seal_text(sealed.model_dump_json().encode(), _CONTEXT)
        return cookie, _session(sealed)

    def of(self, cookie_header: str | None) -> Session | None:
        """The session that a request's Cookie header carries; None when there is none that counts."""
        text = _cookie(cookie_header)
        if text is None:
            return None
        try:
            sealed = _Sealed.model_validate_json(self._box.open_text(text, _CONTEXT))
        except (SealError, ValidationError):
            return None
        return _session(sealed) if sealed.expires_at > self._clock.unix() else None


def is_forged(session: Session, shown: str | None) -> bool:
    """True when a request that changes something does not carry its session's token."""
    return not hmac.compare_digest(session.csrf.encode(), (shown or "").encode("utf-8", "replace"))


def _session(sealed: _Sealed) -> Session:
    return Session(Identity(UserId(sealed.user_id), sealed.expires_at, sealed.is_admin), sealed.csrf)


def _cookie(header: str | None) -> str | None:
    if header is None or len(header) > 4 * MAX_COOKIE_CHARS:
        return None
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if found is None or len(found.value) > MAX_COOKIE_CHARS else found.value
