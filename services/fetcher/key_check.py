"""Before anything is fetched: does the ring open what is stored? A wrong one would fail every source of everybody."""

from types import TracebackType
from typing import Self

from shared.connector_sdk.registry import Registry
from shared.errors import ConfigurationError, SealError, StartupError
from shared.sealing.boxes import Context
from shared.sealing.keyring import MASTER_SETTING, KeyRing
from shared.storage.database import Connection, Database
from shared.storage.sealing_keys import StoredBox, boxes_under, claim, kids_in_use

SAMPLES = 5
"""Boxes that are tried under a name that is new here: one of them may be damaged, all of them are not."""


class KeyCheck:
    """`async with KeyCheck(…)`: raises StartupError that names the key; nothing is claimed then."""

    def __init__(self, db: Database, ring: KeyRing, registry: Registry) -> None:
        self._db = db
        self._ring = ring
        self._registry = registry

    async def __aenter__(self) -> Self:
        async with self._db.transaction() as conn:
            claimed = await claim(conn, self._ring.public().halves)
            if claimed.foreign:
                raise _other_bytes(claimed.foreign)
            in_use = await kids_in_use(conn)
            if lost := sorted(set(in_use) - {"", *self._ring.kids}):
                boxes = sum(in_use[kid].all for kid in lost)
                raise StartupError(
                    f"{MASTER_SETTING} lacks {', '.join(lost)}, under which {boxes} stored credentials are sealed",
                    hint="Put the old key back at the end of the list. If it is lost, `headrace keys rotate "
                    "--erase-lost` erases what nobody can open; those credentials are then entered again.",
                )
            wrong = [kid for kid in claimed.fresh if kid in in_use and not await self._opens_some(conn, kid)]
            if wrong:
                raise _other_bytes(wrong)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    async def _opens_some(self, conn: Connection, kid: str) -> bool:
        """True also when no box can be judged: its connector is not installed here."""
        tried = [self._opens(stored) for stored in await boxes_under(conn, kid, SAMPLES)]
        return True in tried or False not in tried

    def _opens(self, stored: StoredBox) -> bool | None:
        try:
            spec = self._registry.get(stored.source_type).spec
            context = Context(stored.user_id, stored.source_id, spec.origins(stored.config))
        except (ConfigurationError, ValueError, LookupError, TypeError):
            return None
        try:
            self._ring.open(stored.box, context)
        except SealError:
            return False
        return True


def _other_bytes(kids: tuple[str, ...] | list[str]) -> StartupError:
    return StartupError(
        f"{MASTER_SETTING}: {', '.join(kids)} is not the key of that name that stored credentials are sealed under",
        hint="Put that key's own text back. A new key needs a name of its own: `headrace keys generate`.",
    )
