"""Sessions of browsers: a sealed cookie that scripts cannot read, and a token against forged requests."""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.gateway.identity import Identity
from services.gateway.sealed_cookies import CookieDocument, SealedCookie
from shared.clock import Clock
from shared.contracts.ids import UserId
from shared.sealing.symmetric import SymmetricBox
from shared.storage.database import Database
from shared.storage.ended_sessions import end_session, has_ended

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
    """Makes, opens and ends them. The cookie, sealed under the gateway's own key, is all there is of one."""

    def __init__(self, box: SymmetricBox, clock: Clock, database: Database) -> None:
        self._box = box
        self._clock = clock
        self._database = database

    def begin(self, identity: Identity) -> tuple[str, Session]:
        """The cookie's text and the session; it ends with what proved the caller, in twelve hours at the latest."""
        expires_at = min(identity.expires_at, self._clock.unix() + MAX_SECONDS)
        csrf = secrets.token_urlsafe(24)
        sealed = _Sealed(user_id=identity.user_id, is_admin=identity.is_admin, expires_at=expires_at, csrf=csrf)
        return COOKIE.seal(self._box, sealed), _session(sealed)

    async def of(self, cookie_header: str | None) -> Session | None:
        """The session that a request's Cookie header carries; None when there is none that counts.

        Raises PlatformAwayError when it cannot be told whether it was ended.
        """
        sealed = COOKIE.open(self._box, cookie_header)
        if sealed is None or sealed.expires_at <= self._clock.unix():
            return None
        return None if await has_ended(self._database, sealed.csrf) else _session(sealed)

    async def end(self, session: Session) -> None:
        """It counts no more, whoever kept its cookie."""
        at = datetime.fromtimestamp(session.identity.expires_at, UTC)
        await end_session(self._database, session.csrf, at)


def is_forged(session: Session, shown: str | None) -> bool:
    """True when a request that changes something does not carry its session's token."""
    return not hmac.compare_digest(session.csrf.encode(), (shown or "").encode("utf-8", "replace"))


def _session(sealed: _Sealed) -> Session:
    return Session(Identity(UserId(sealed.user_id), sealed.expires_at, sealed.is_admin), sealed.csrf)
