"""What binds a consent to the browser that began it: its session, or a cookie where a bearer token began it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.sessions import MAX_COOKIE_CHARS, Session
from shared.contracts.ids import UserId
from shared.errors import SealError
from shared.sealing.symmetric import SymmetricBox

COOKIE: Final = "headrace_consent"
SECONDS = 600
_CONTEXT = ("consent/v1",)


class _Sealed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: UUID
    nonce: str


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
    text = box.seal_text(_Sealed(user_id=user_id, nonce=nonce).model_dump_json().encode(), _CONTEXT)
    return text, Bond(user_id, f"cookie:{nonce}")


def shown(box: SymmetricBox, session: Session | None, cookie_header: str | None) -> Iterator[Bond]:
    """All that a request carries."""
    if session is not None:
        yield of_session(session)
    text = _cookie(cookie_header)
    if text is not None:
        try:
            sealed = _Sealed.model_validate_json(box.open_text(text, _CONTEXT))
        except (SealError, ValidationError):
            return
        yield Bond(UserId(sealed.user_id), f"cookie:{sealed.nonce}")


def _cookie(header: str | None) -> str | None:
    if header is None or len(header) > 4 * MAX_COOKIE_CHARS:
        return None
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if found is None or len(found.value) > MAX_COOKIE_CHARS else found.value
