"""JWTs as Supabase issues them: signed with a shared secret, or with a key of a published key set (JWKS)."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.algorithms import AllowedPublicKeys

from services.gateway.identity import Identity, TokenVerifier, UnauthenticatedError, identity_of
from shared.clock import Clock
from shared.errors import HeadraceError, PlatformAwayError
from shared.observability.logging import get_logger

MAX_TOKEN_CHARS = 8_192
LEEWAY_SECONDS = 10
FRESH_SECONDS = 600.0
"""A key set older than this is fetched again at the next token."""
RETRY_SECONDS = 30.0
"""Between two fetches in the long run, whatever asks for them: an unknown key, or an address that did not answer."""
BURST = 3.0
"""Fetches that may follow each other at once: keys that were rotated just after a fetch are found all the same.
Not after one that failed: an address that hangs would be waited for as often."""
PATIENCE_SECONDS = 1.0
"""How long a token whose key is at hand waits for a key set that is due; after that the old one counts."""
MAX_KEYS = 50
MIN_RSA_BITS = 2_048

FetchKeySet = Callable[[], Awaitable[Mapping[str, Any]]]
"""The JSON object at the key set's address. Raises HeadraceError."""


class SecretTokenVerifier:
    """Tokens signed with a shared secret. The algorithm is ours to name, never the token's."""

    def __init__(self, secret: str, audience: str) -> None:
        self._secret = secret
        self._audience = audience

    async def verify(self, token: str) -> Identity:
        return _proven(token, self._secret, "HS256", self._audience)


@dataclass(frozen=True, slots=True)
class _Key:
    key: AllowedPublicKeys
    algorithm: str
    """By the key's kind: what a token says of itself decides nothing."""


class EitherTokenVerifier:
    """Both kinds side by side: while a project moves from its secret to keys, and for the local user beside them."""

    def __init__(self, by_secret: TokenVerifier, by_key: TokenVerifier) -> None:
        self._by_secret = by_secret
        self._by_key = by_key

    async def verify(self, token: str) -> Identity:
        # What the token says of itself chooses the verifier, and decides nothing: each names its own algorithms.
        secret = _header(token).get("alg") == "HS256"
        return await (self._by_secret if secret else self._by_key).verify(token)


class JwksTokenVerifier:
    """Tokens signed with a key of a JWKS (ES256, RS256). Keys are kept for ten minutes; an unknown one is asked for.

    `patience`: in seconds, as PATIENCE_SECONDS.
    """

    def __init__(self, fetch: FetchKeySet, audience: str, clock: Clock, *, patience: float = PATIENCE_SECONDS) -> None:
        self._fetch = fetch
        self._audience = audience
        self._clock = clock
        self._patience = patience
        self._keys: Mapping[str, _Key] = {}
        self._was_read = False
        self._fetched_at = -math.inf
        self._tries = BURST
        self._counted_at = self._now()
        self._seeking = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._log = get_logger("gateway")

    async def verify(self, token: str) -> Identity:
        kid = _key_id(token)
        key = await self._key(kid)
        if key is None:
            raise UnauthenticatedError("the token's key is not in the key set")
        return _proven(token, key.key, key.algorithm, self._audience)

    async def _key(self, kid: str) -> _Key | None:
        if kid not in self._keys:
            async with self._seeking:  # those who waited find what the first one brought
                if kid not in self._keys:
                    await self._refreshed(None)
        elif self._age(self._fetched_at) > FRESH_SECONDS:
            await self._refreshed(self._patience)
        if not self._was_read:
            raise PlatformAwayError("the key set that proves tokens cannot be read")
        return self._keys.get(kid)

    async def _refreshed(self, patience: float | None) -> None:
        """Await a fetch, the one under way or a new one if it may be, for `patience` seconds; it goes on after that."""
        if self._refreshing is None and self._may_ask():
            self._refreshing = asyncio.create_task(self._refresh(), name="key-set")
        if self._refreshing is not None:
            done, _ = await asyncio.wait({self._refreshing}, timeout=patience)
            for each in done:
                each.result()  # what nobody foresaw is told

    def _may_ask(self) -> bool:
        self._tries = min(BURST, self._tries + max(0.0, self._age(self._counted_at)) / RETRY_SECONDS)
        self._counted_at = self._now()
        if self._tries < 1:
            return False
        self._tries -= 1
        return True

    async def _refresh(self) -> None:
        began = self._now()
        try:
            keys = usable_keys(await self._fetch())
        except HeadraceError as error:
            # The keys at hand go on counting: who is signed in does not suffer from an outage of the sign-in.
            self._tries, self._counted_at = 0.0, self._now()
            self._log.warning("key_set_not_read", reason=error.message, keys=len(self._keys))
        else:
            self._was_read = True
            if keys:
                self._keys, self._fetched_at = keys, began
            else:  # a mishap of whoever publishes it, not a reason to sign everybody out
                self._log.warning("key_set_empty", keys=len(self._keys))
        finally:
            self._refreshing = None

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _age(self, at: float) -> float:
        return self._now() - at


def usable_keys(document: Mapping[str, Any]) -> dict[str, _Key]:
    """Keys by id: signing keys on P-256 (ES256) and RSA of 2048 bits or more (RS256). Others are left out."""
    listed = document.get("keys")
    found: dict[str, _Key] = {}
    for each in listed[:MAX_KEYS] if isinstance(listed, list) else []:
        if not isinstance(each, dict) or not isinstance(each.get("kid"), str) or each.get("use", "sig") != "sig":
            continue
        algorithm = _algorithm(each)
        if algorithm is None or each.get("alg", algorithm) != algorithm or "d" in each:
            continue
        try:
            key = jwt.PyJWK(each, algorithm).key
        except jwt.PyJWTError:
            continue
        if algorithm == "RS256" and key.key_size < MIN_RSA_BITS:
            continue
        found[each["kid"]] = _Key(key, algorithm)
    return found


_CURVES: Final = {"P-256": "ES256"}


def _algorithm(key: Mapping[str, Any]) -> str | None:
    if key.get("kty") == "EC":
        return _CURVES.get(str(key.get("crv")))
    return "RS256" if key.get("kty") == "RSA" else None


def _header(token: str) -> Mapping[str, Any]:
    if len(token) > MAX_TOKEN_CHARS:
        raise UnauthenticatedError("the token is too long")
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise UnauthenticatedError("the token is not valid") from None


def _key_id(token: str) -> str:
    kid = _header(token).get("kid")
    if not isinstance(kid, str):
        raise UnauthenticatedError("the token names no key")
    return kid


def _proven(token: str, key: str | AllowedPublicKeys, algorithm: str, audience: str) -> Identity:
    if len(token) > MAX_TOKEN_CHARS:
        raise UnauthenticatedError("the token is too long")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub", "aud"]},
        )
    except jwt.PyJWTError as error:
        raise UnauthenticatedError(_reason(error)) from None
    return identity_of(claims)


def _reason(error: jwt.PyJWTError) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "the token has expired"
    if isinstance(error, jwt.InvalidAudienceError):
        return "the token is for another audience"
    if isinstance(error, jwt.InvalidAlgorithmError):
        return "the token's algorithm is not accepted"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"the token has no `{error.claim}`"
    return "the token is not valid"
