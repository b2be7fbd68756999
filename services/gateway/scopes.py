"""What an API token may do, by method and path: what no rule names needs `write`."""

import re
from typing import Final

from services.gateway.problems import ProblemError
from shared.storage.api_tokens import Scope

_SYNC: Final = re.compile(r"/api/(sources/[^/]+/(sync|test)|external/sync|runs/[^/]+/(cancel|retry))")
_ADMIN: Final = "/api/ops/"
_CONSENT: Final = "/oauth/"
"""A GET, but it ends in new credentials."""
_PEOPLE_ONLY: Final = ("/api/tokens", "/api/session")
"""A token makes no tokens: a stolen one could outlive its end."""


def needed_scope(method: str, path: str) -> Scope | None:
    """None: only for people who signed in."""
    if any(path == prefix or path.startswith(prefix + "/") for prefix in _PEOPLE_ONLY):
        return None
    if path.startswith(_CONSENT):
        return "write"
    if path.startswith(_ADMIN):
        return "admin"
    if method in ("GET", "HEAD"):
        return "read"
    return "sync" if _SYNC.fullmatch(path) else "write"


def allowed(scopes: frozenset[Scope], needed: Scope | None) -> bool:
    """`write` includes `sync`; nothing else includes anything."""
    return needed is not None and (needed in scopes or (needed == "sync" and "write" in scopes))


def refused(needed: Scope | None) -> ProblemError:
    """403 that names what is missing."""
    if needed is None:
        return ProblemError(
            403,
            "forbidden",
            "This is not for API tokens.",
            category="AUTH_FAILED",
            hint="Sign in as a person.",
        )
    return ProblemError(
        403,
        "forbidden",
        f"The API token lacks the scope `{needed}`.",
        category="AUTH_FAILED",
        hint="Make a token with this scope.",
    )
