"""What binds a consent to the browser that began it: its session, or a cookie where a bearer token began it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from services.gateway.sealed_cookies import CookieDocument, SealedCookie
from services.gateway.sessions import Session
from shared.contracts.ids import UserId
from shared.sealing.symmetric import SymmetricBox

SECONDS = 600


class _Sealed(CookieDocument):
    user_id: UUID
    nonce: str


COOKIE: Final = SealedCookie("headrace_consent", _Sealed, "consent/v1")


@dataclass(frozen=True, slots=True)
class Bond:
    """Whose consent it is, and the secret that the browser alone can show again."""

    user_id: UserId
    secret: str = field(repr=False)


def of_session(session: Session) -> Bond:
    """The session's own."""
    return Bond(session.identity.user_id, f"session:{session.csrf}")


def fresh(box: SymmetricBox, user_id: UserId) -> tuple[str, Bond]:
    """The text of a cookie, and what it stands for."""
    nonce = secrets.token_urlsafe(24)
    return COOKIE.seal(box, _Sealed(user_id=user_id, nonce=nonce)), Bond(user_id, f"cookie:{nonce}")


def shown(box: SymmetricBox, session: Session | None, cookie_header: str | None) -> Iterator[Bond]:
    """All that a request carries."""
    if session is not None:
        yield of_session(session)
    if (sealed := COOKIE.open(box, cookie_header)) is not None:
        yield Bond(UserId(sealed.user_id), f"cookie:{sealed.nonce}")
