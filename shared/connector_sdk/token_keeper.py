"""Keeps each consent's tokens: one refresher at a time over all processes, nothing used before it is stored.

The order of a refresh, each line a transaction of its own:

1. The row's lock; somebody else's fresh tokens are taken. Else an attempt is marked and committed: a crash is visible.
2. The row's lock again. If the attempt is still ours: the call, and the sealed reply, committed before it is used.

A marked attempt without an outcome is somebody between 1 and 2, or a crash. While such a call may still be under way at
the vendor, nobody begins another: two refreshes at once can end the connection (Intuit documentation, OAuth 2.0). After
that the old token is shown once more, which the vendor takes while it is in its grace.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from pydantic import TypeAdapter

from shared.clock import Clock
from shared.connector_sdk.oauth import AccessToken, OAuthGrant, TokenReply, reconnect_hint
from shared.connector_sdk.token_endpoint import (
    EXCHANGE_SECONDS,
    ConsentOverError,
    Exchanger,
    NoAnswerError,
    refresh,
)
from shared.errors import AuthenticationError, HeadraceError, PlatformAwayError, RetryableError
from shared.observability.secrets import SecretRegistry
from shared.sealing.keyring import KeyRing
from shared.storage import oauth_grants
from shared.storage.database import Connection, Database
from shared.storage.oauth_grants import GrantRow

SETTLE_SECONDS = EXCHANGE_SECONDS + 5.0
"""After so long a call that was cut off is over at the vendor's too."""
_DUE_AT = 0.8
"""Part of an access token's life after which it is refreshed, while it is still good."""
_MARGIN = 60.0
"""Seconds before its end at which a token counts as over, for clocks and for calls under way; at most half its life."""
_FIRST_LOOK, _SLOWEST_LOOK = 0.05, 0.5
_STORE_TRIES = 30
_STORE_PAUSE = 2.0
_EXCHANGES_AT_ONCE = 2
"""Of one process: each holds a connection of the pool while the vendor thinks."""

_log = structlog.get_logger()
_tokens = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class _Begun:
    """An attempt that is committed; `cut_off` when the one before has no known outcome."""

    attempt: UUID
    cut_off: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the call brought: a reply or an error, and the refresh token that was shown for it."""

    shown: str = field(repr=False)
    reply: TokenReply | None = field(default=None, repr=False)
    error: HeadraceError | None = None
    consent_over: bool = False


class TokenKeeper:
    """Access tokens of all consents. One per process: it lets one task of the process at a time reach for a lock."""

    def __init__(
        self,
        db: Database,
        ring: KeyRing,
        http: Exchanger,
        clock: Clock,
        secrets: SecretRegistry,
        *,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._ring = ring
        self._seal = ring.public()
        self._http = http
        self._clock = clock
        self._settle = settle
        self._flights: defaultdict[UUID, list[asyncio.Lock]] = defaultdict(list)
        self._exchanges = asyncio.Semaphore(_EXCHANGES_AT_ONCE)

    async def token(self, grant: OAuthGrant, refused: AccessToken | None = None) -> AccessToken:
        """An access token that is good now. `refused`: one that the vendor did not take, whatever its age.

        Raises AuthenticationError (reconnect, or wrong keys), RetryableError, PlatformAwayError, SealError.
        """
        async with self._db.for_tenant(grant.user_id) as conn:
            row = await oauth_grants.read(conn, grant.id, grant.used_by)
            if row is not None and not row.known:
                await oauth_grants.ensure(conn, grant.id, grant.user_id, grant.used_by, grant.origins)
        present = self._present(grant, row, refused)
        if present is not None and row is not None and row.remaining > row.life * (1 - _DUE_AT):
            return present
        try:
            return await self._renewed(grant, refused)
        except RetryableError as error:
            if present is None:
                raise
            _log.warning("token not refreshed yet; the present one is still good", reason=error.message)
            return present

    async def _renewed(self, grant: OAuthGrant, refused: AccessToken | None) -> AccessToken:
        """One task of this process at a time; who waited finds what the first one brought."""
        flights = self._flights[grant.id]
        lock = flights[0] if flights else asyncio.Lock()
        flights.append(lock)
        try:
            async with lock:
                return await self._renew(grant, refused)
        finally:
            flights.pop()
            if not flights:
                del self._flights[grant.id]

    async def _renew(self, grant: OAuthGrant, refused: AccessToken | None) -> AccessToken:
        pause = _FIRST_LOOK
        while True:
            found = await self._begin(grant, refused)
            if isinstance(found, AccessToken):
                return found
            if isinstance(found, _Begun):
                # A stop must not lose a reply: the exchange is bounded, so it is awaited before the stop goes on.
                exchange = asyncio.create_task(self._exchange(grant, found))
                try:
                    token = await asyncio.shield(exchange)
                except asyncio.CancelledError:
                    await asyncio.wait([exchange])
                    raise
                if token is not None:
                    return token
                continue  # another took the attempt over while this process slept
            await self._clock.sleep(min(found, pause))
            pause = min(pause * 2, _SLOWEST_LOOK)

    async def _begin(self, grant: OAuthGrant, refused: AccessToken | None) -> AccessToken | _Begun | float:
        """Step 1: a token that came meanwhile, an attempt that is ours now, or seconds until one may be begun."""
        async with self._db.for_tenant(grant.user_id) as conn:
            await oauth_grants.ensure(conn, grant.id, grant.user_id, grant.used_by, grant.origins)
            row = await oauth_grants.lock(conn, grant.id, grant.used_by)
            assert row is not None
            present = self._present(grant, row, refused)
            if present is not None and row.remaining > row.life * (1 - _DUE_AT):
                return present
            if row.reconnect_since is not None:
                raise AuthenticationError(
                    row.reconnect_reason or f"{grant.app.title} does not accept the connection any more",
                    hint=reconnect_hint(grant.app.title, row.reconnect_since),
                )
            cut_off = row.attempt is not None and not row.attempt_answered
            if cut_off and row.attempt_age < self._settle:
                return self._settle - row.attempt_age
            begun = _Begun(uuid4(), cut_off)
            await oauth_grants.begin_attempt(conn, grant.id, begun.attempt)
        return begun

    async def _exchange(self, grant: OAuthGrant, begun: _Begun) -> AccessToken | None:
        """Step 2. None when the attempt is not ours any more. Raises what the vendor's answer means."""
        outcome: _Outcome | None = None
        try:
            async with self._exchanges, self._db.for_tenant(grant.user_id) as conn:
                row = await oauth_grants.lock(conn, grant.id, grant.used_by)
                if row is None or row.attempt != begun.attempt:
                    return None
                shown = self._refresh_token(grant, row)
                outcome = await self._ask(grant, begun, shown)
                version = await self._settled(conn, grant, begun, outcome)
        except PlatformAwayError:
            if outcome is None or outcome.reply is None:
                raise
            version = await self._store_late(grant, begun, outcome)
        if outcome.error is not None:
            _log.warning("token refresh failed", grant=str(grant.id), reason=outcome.error.message)
            raise outcome.error
        if version is None or outcome.reply is None:
            return None
        _log.info("token refreshed", grant=str(grant.id), version=version)
        return AccessToken(version, outcome.reply.access_token)

    async def _ask(self, grant: OAuthGrant, begun: _Begun, shown: str) -> _Outcome:
        """The call; what it raises is an outcome too, since it has to be stored before it is raised."""
        try:
            with self._secrets.guarding([shown]):
                return _Outcome(shown, await refresh(self._http, grant, shown))
        except ConsentOverError as error:
            over = _over(grant, error, self._clock.now(), cut_off=begun.cut_off)
            return _Outcome(shown, error=over, consent_over=True)
        except HeadraceError as error:
            return _Outcome(shown, error=error)

    async def _settled(self, conn: Connection, grant: OAuthGrant, begun: _Begun, outcome: _Outcome) -> int | None:
        """Write what became of the attempt; the version of new tokens."""
        if outcome.reply is not None:
            return await self._store(conn, grant, begun, outcome.shown, outcome.reply)
        assert outcome.error is not None
        if outcome.consent_over:
            await oauth_grants.refuse(conn, grant.id, begun.attempt, outcome.error.message)
        elif not isinstance(outcome.error, NoAnswerError):
            await oauth_grants.end_attempt(conn, grant.id, begun.attempt)
        return None  # without an answer the mark stays: the next one waits until this call is surely over

    async def _store(
        self, conn: Connection, grant: OAuthGrant, begun: _Begun, shown: str, reply: TokenReply
    ) -> int | None:
        tokens = {
            "access_token": reply.access_token,
            "refresh_token": reply.refresh_token or shown,
            "obtained_with": _mark(grant),
        }
        box = self._seal.seal(json.dumps(tokens).encode(), grant.context())
        return await oauth_grants.store_tokens(conn, grant.id, begun.attempt, {**box}, reply.life, reply.refresh_life)

    async def _store_late(self, grant: OAuthGrant, begun: _Begun, outcome: _Outcome) -> int | None:
        """Postgres went away while the vendor answered: the reply is in this process alone, so it is not given up."""
        reply = outcome.reply
        assert reply is not None
        for _ in range(_STORE_TRIES):
            await self._clock.sleep(_STORE_PAUSE)
            try:
                async with self._db.for_tenant(grant.user_id) as conn:
                    row = await oauth_grants.lock(conn, grant.id, grant.used_by)
                    if row is not None and row.attempt is None and self._holds(grant, row, reply):
                        return row.version  # the commit had come through, its confirmation had not
                    return await self._store(conn, grant, begun, outcome.shown, reply)
            except PlatformAwayError:
                continue
        raise PlatformAwayError("PostgreSQL stayed away: new tokens could not be stored")

    def _present(self, grant: OAuthGrant, row: GrantRow | None, refused: AccessToken | None) -> AccessToken | None:
        """The stored access token, while it is good, not the one that was refused, and this app's keys brought it.

        Other keys have to prove themselves: else a test of a wrong secret succeeds for as long as the token is good.
        """
        if row is None or row.tokens is None or row.remaining <= min(_MARGIN, row.life / 2):
            return None
        if refused is not None and row.version <= refused.version:
            return None
        tokens, mark = self._opened(grant, row.tokens), _mark(grant)
        if tokens.get("obtained_with", mark) != mark:
            return None
        return AccessToken(row.version, tokens["access_token"])

    def _refresh_token(self, grant: OAuthGrant, row: GrantRow) -> str:
        return self._opened(grant, row.tokens)["refresh_token"] if row.tokens else grant.first_refresh_token

    def _holds(self, grant: OAuthGrant, row: GrantRow, reply: TokenReply) -> bool:
        return row.tokens is not None and self._opened(grant, row.tokens)["access_token"] == reply.access_token

    def _opened(self, grant: OAuthGrant, box: Mapping[str, object]) -> dict[str, str]:
        return _tokens.validate_json(self._ring.open(box, grant.context()))


def _mark(grant: OAuthGrant) -> str:
    """Tells one client secret from another, and is kept sealed."""
    return hashlib.sha256(f"{grant.id}:{grant.client_secret}".encode()).hexdigest()


def _over(grant: OAuthGrant, error: ConsentOverError, now: datetime, *, cut_off: bool) -> AuthenticationError:
    why = "; the answer to an earlier refresh was lost" if cut_off else ""
    return AuthenticationError(f"{error.message}{why}", hint=reconnect_hint(grant.app.title, now))
