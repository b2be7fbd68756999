"""Signing secrets of webhooks: sealed for the gateway alone, under a key of its own."""

import secrets

from shared.contracts.ids import SourceId, UserId
from shared.errors import SealError
from shared.sealing.symmetric import SymmetricBox

_LABEL = "webhook-secret/v1"


def new_secret() -> str:
    """256 random bits as text."""
    return f"whsec_{secrets.token_urlsafe(32)}"


def seal(box: SymmetricBox, user_id: UserId, source_id: SourceId, secret: str) -> str:
    """Closed for this tenant and source: a box copied to another row does not open."""
    return box.seal_text(secret.encode(), _context(user_id, source_id))


def open_secret(box: SymmetricBox, user_id: UserId, source_id: SourceId, sealed: str) -> bytes | None:
    """None when it cannot be opened (a key that was taken out of HEADRACE_WEBHOOK_KEYS)."""
    try:
        return box.open_text(sealed, _context(user_id, source_id))
    except SealError:
        return None


def _context(user_id: UserId, source_id: SourceId) -> tuple[str, ...]:
    return (_LABEL, str(user_id), str(source_id))
