"""API tokens of ours: `headrace_<prefix>_<secret>`. The secret is 256 random bits, stored as its SHA-256."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field

from services.gateway.identity import Identity, TokenVerifier, UnauthenticatedError
from shared.clock import Clock
from shared.storage.api_tokens import find_token, token_used
from shared.storage.database import Database

TOKEN_START = "headrace_"  # noqa: S105 - how a token begins, not one
_PREFIX_CHARS = string.ascii_lowercase + string.digits
_FORM = re.compile(r"headrace_(?P<prefix>[a-z0-9]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
FOREVER = 4_102_444_800.0
"""Of a token without an end: the year 2100 as Unix seconds."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at its birth, the only time it is whole."""

    prefix: str
    text: str = field(repr=False)
    secret_hash: bytes = field(repr=False)


def new_token() -> NewToken:
    """A fresh one."""
    prefix = "".join(secrets.choice(_PREFIX_CHARS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    return NewToken(prefix, f"{TOKEN_START}{prefix}_{secret}", _hash(secret))


def _hash(secret: str) -> bytes:
    # A random secret of 256 bits needs no slow hash: it cannot be guessed.
    return hashlib.sha256(secret.encode()).digest()


class BearerVerifier:
    """API tokens by their form, everything else as a JWT."""

    def __init__(self, jwts: TokenVerifier, database: Database, clock: Clock) -> None:
        self._jwts = jwts
        self._database = database
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        if not token.startswith(TOKEN_START):
            return await self._jwts.verify(token)
        form = _FORM.fullmatch(token)
        if form is None:
            raise UnauthenticatedError("the API token is not whole")
        async with self._database.transaction() as conn:
            row = await find_token(conn, form["prefix"])
            # Compared also when there is none, so that the time tells nothing.
            known = hmac.compare_digest(_hash(form["secret"]), row.secret_hash if row else bytes(32))
            if row is None or not known:
                raise UnauthenticatedError("the API token is unknown, revoked or expired")
            await token_used(conn, row.id)
        expires_at = row.expires_at.timestamp() if row.expires_at else FOREVER
        return Identity(row.user_id, expires_at, "admin" in row.scopes, row.id, row.scopes)
