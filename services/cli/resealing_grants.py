"""The tokens of consents, sealed anew: under the same row's lock as their refresh, so that neither loses what the other
wrote. One consent, one transaction: while a vendor thinks about a refresh, no other consent waits for us."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from shared.connector_sdk.oauth import tokens_context
from shared.connector_sdk.spec import ConnectorSpec
from shared.errors import HeadraceError, SealError
from shared.sealing.keyring import KeyRing
from shared.storage import oauth_grants
from shared.storage.database import Connection, Database
from shared.storage.oauth_grants import SealedTokens
from shared.storage.sealing_keys import kids_in_use


@dataclass(frozen=True, slots=True)
class UnopenedTokens:
    """Tokens that stay as they are, and why. `kid`: the name that they bear."""

    consent: UUID
    kid: str
    reason: str


@dataclass(slots=True)
class GrantResealing:
    """What was done. `erased`: tokens that no key opens; the consent starts again from the token that it gave.
    `keys`: consents by key's name afterwards."""

    current: str
    resealed: int = 0
    erased: int = 0
    failed: list[UnopenedTokens] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Tokens that are still under another key."""
        return sum(tokens for kid, tokens in self.keys.items() if kid != self.current)


class GrantResealer:
    """Safe to kill at any time and to run again, also twice at once, and beside fetchers that refresh."""

    def __init__(
        self, db: Database, ring: KeyRing, specs: Mapping[str, ConnectorSpec], *, erase_lost: bool = False
    ) -> None:
        """`db`: of the role headrace_keys. `erase_lost`: tokens under a name that the ring lacks are erased."""
        self._db = db
        self._ring = ring
        self._sealing = ring.public()
        self._specs = specs
        self._erase_lost = erase_lost

    async def run(self, on_progress: Callable[[int, int], None]) -> GrantResealing:
        """`on_progress(done, all)` after each consent."""
        current, after = self._ring.current_kid, None
        done = GrantResealing(current)
        async with self._db.transaction() as conn:
            total = await oauth_grants.count_waiting(conn, current)
        on_progress(0, total)
        handled = 0
        while True:
            async with self._db.transaction() as conn:
                after = await oauth_grants.next_waiting(conn, current, after)
                if after is None:
                    in_use = await kids_in_use(conn)
                    done.keys = {kid: used.tokens for kid, used in in_use.items() if used.tokens}
                    return done
                stored = await oauth_grants.lock_sealed(conn, after)
                if stored is not None:
                    await self._one(conn, after, stored, done)
            handled += 1
            on_progress(handled, max(total, handled))

    async def _one(self, conn: Connection, grant_id: UUID, stored: SealedTokens, done: GrantResealing) -> None:
        kid = str(stored.box.get("kid", ""))
        if kid == self._ring.current_kid:
            return  # a refresh, or another rotation, came first
        if self._erase_lost and kid not in self._ring.kids:
            await oauth_grants.erase_tokens(conn, grant_id)
            done.erased += 1
            return
        try:
            box = await self._anew(conn, grant_id, stored)
        except SealError as error:
            done.failed.append(UnopenedTokens(grant_id, kid, error.message))
            return
        await oauth_grants.replace_tokens(conn, grant_id, box)
        done.resealed += 1

    async def _anew(self, conn: Connection, grant_id: UUID, stored: SealedTokens) -> Mapping[str, object]:
        failure = SealError("No source uses this consent any more, so its addresses are unknown.")
        for origins in await self._bound_to(conn, grant_id, stored):
            context = tokens_context(stored.user_id, grant_id, origins)
            try:
                return self._sealing.seal(self._ring.open(stored.box, context), context)
            except SealError as error:
                failure = error
        raise failure

    async def _bound_to(self, conn: Connection, grant_id: UUID, stored: SealedTokens) -> list[tuple[str, ...]]:
        """What the row says, or else what the sources that use the consent call."""
        if stored.origins is not None:
            return [stored.origins]
        found = []
        for source_type, config in await oauth_grants.configs_of_users(conn, grant_id):
            try:
                found.append(self._specs[source_type].origins(config))
            except (HeadraceError, ValueError, LookupError, TypeError):
                continue  # of no connector here, or of another form since
        return found
