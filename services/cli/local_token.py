"""The bearer token of the local user, as Supabase would issue it."""

from datetime import timedelta

import jwt

from shared.clock import Clock
from shared.contracts.ids import UserId

LIFETIME = timedelta(days=30)


def mint(secret: str, user: UserId, clock: Clock, *, audience: str) -> str:
    """A JWT (HS256) that makes its bearer `user`, an administrator, for `LIFETIME`."""
    now = clock.now()
    claims = {
        "sub": str(user),
        "role": "authenticated",
        "aud": audience,
        "app_metadata": {"headrace_role": "admin"},
        "iat": now,
        "exp": now + LIFETIME,
    }
    return jwt.encode(claims, secret, algorithm="HS256")
