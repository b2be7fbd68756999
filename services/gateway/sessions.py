"""Sessions of browsers: a sealed cookie that scripts cannot read, and a token against forged requests."""

import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from services.gateway.identity import Identity
from services.gateway.sealed_cookies import CookieDocument, SealedCookie
from shared.clock import Clock
from shared.contracts.ids import UserId
from shared.sealing.symmetric import SymmetricBox

CSRF_HEADER: Final = "x-csrf-token"
MAX_SECONDS = 12 * 3600.0


class _Sealed(CookieDocument):
    user_id: UUID
    is_admin: bool
    expires_at: float
    csrf: str


COOKIE: Final = SealedCookie("headrace_session", _Sealed, "session/v1")


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
        return COOKIE.seal(self._box, sealed), _session(sealed)

    def of(self, cookie_header: str | None) -> Session | None:
        """The session that a request's Cookie header carries; None when there is none that counts."""
        sealed = COOKIE.open(self._box, cookie_header)
        return None if sealed is None or sealed.expires_at <= self._clock.unix() else _session(sealed)


def is_forged(session: Session, shown: str | None) -> bool:
    """True when a request that changes something does not carry its session's token."""
    return not hmac.compare_digest(session.csrf.encode(), (shown or "").encode("utf-8", "replace"))


def _session(sealed: _Sealed) -> Session:
    return Session(Identity(UserId(sealed.user_id), sealed.expires_at, sealed.is_admin), sealed.csrf)
