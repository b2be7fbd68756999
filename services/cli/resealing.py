"""Sealing every stored box anew under the current key, while everything runs: small batches, each a transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from shared.connector_sdk.spec import ConnectorSpec
from shared.errors import HeadraceError, SealError, StartupError
from shared.sealing.boxes import Context
from shared.sealing.keyring import MASTER_SETTING, KeyRing
from shared.storage.database import Connection, Database
from shared.storage.sealing_keys import (
    StoredBox,
    claim,
    count_waiting,
    erase_box,
    foreign_names,
    kids_in_use,
    next_boxes,
    replace_box,
)

ROLE = "headrace_keys"
BATCH = 50
PASSES = 5
"""A box that somebody replaced under our hands is looked at again; a gateway that keeps using an old key would
never let us end."""


@dataclass(frozen=True, slots=True)
class Unopened:
    """A box that stays as it is, and why. `kid`: the name that it bears."""

    source_id: UUID
    kid: str
    reason: str


@dataclass(slots=True)
class Resealing:
    """What was done. `keys`: boxes by key's name afterwards; `newcomer`: nobody had used the current key before."""

    current: str
    newcomer: bool = False
    resealed: int = 0
    erased: int = 0
    changed_meanwhile: int = 0
    failed: list[Unopened] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Boxes that are still under another key."""
        return sum(boxes for kid, boxes in self.keys.items() if kid != self.current)


class Resealer:
    """Safe to kill at any time and to run again, also twice at once: a box is replaced only if it is still the one
    that was opened, so what a user enters meanwhile stays."""

    def __init__(
        self,
        db: Database,
        ring: KeyRing,
        specs: Mapping[str, ConnectorSpec],
        *,
        erase_lost: bool = False,
        batch: int = BATCH,
    ) -> None:
        """`db`: of the role headrace_keys. `erase_lost`: boxes under a name that the ring lacks are erased."""
        self._db = db
        self._ring = ring
        self._sealing = ring.public()
        self._specs = specs
        self._erase_lost = erase_lost
        self._batch = batch

    async def run(self, on_progress: Callable[[int, int], None]) -> Resealing:
        """`on_progress(done, all)` after each batch. Raises StartupError when the ring holds another key of a name."""
        done = Resealing(self._ring.current_kid)
        total = await self._begin(done)
        on_progress(0, total)
        for _ in range(PASSES):
            if not await self._pass(done, on_progress, total):
                break
        async with self._db.transaction() as conn:
            done.keys = {kid: used.boxes for kid, used in (await kids_in_use(conn)).items() if used.boxes}
        return done

    async def _begin(self, done: Resealing) -> int:
        halves = self._sealing.halves
        async with self._db.transaction() as conn:
            # The current key alone is claimed: it is what we seal under. The others prove themselves by opening.
            claimed = await claim(conn, {done.current: halves[done.current]})
            foreign = await foreign_names(conn, halves)
            if foreign:
                raise StartupError(
                    f"{MASTER_SETTING}: {', '.join(foreign)} is not the key of that name that the fetchers use",
                    hint="Put that key's own text back. A new key needs a name of its own: `headrace keys generate`.",
                )
            done.newcomer = bool(claimed.fresh)
            return await count_waiting(conn, done.current)

    async def _pass(self, done: Resealing, on_progress: Callable[[int, int], None], total: int) -> bool:
        """All boxes once. True when some were changed under our hands, so that another look is due."""
        done.failed = []
        changed, after = 0, None
        while True:
            async with self._db.transaction() as conn:
                boxes = await next_boxes(conn, done.current, after, self._batch)
                outcomes = [await self._one(conn, stored, done) for stored in boxes]
            if not boxes:
                done.changed_meanwhile += changed
                return changed > 0
            changed += outcomes.count(False)
            after = boxes[-1].source_id
            handled = done.resealed + done.erased + len(done.failed)
            on_progress(handled, max(total, handled))

    async def _one(self, conn: Connection, stored: StoredBox, done: Resealing) -> bool:
        """False when somebody changed it meanwhile."""
        kid = str(stored.box.get("kid", ""))
        if self._erase_lost and kid not in self._ring.kids:
            erased = await erase_box(conn, stored)
            done.erased += erased
            return erased
        try:
            box = self._anew(stored)
        except SealError as error:
            done.failed.append(Unopened(stored.source_id, kid, error.message))
            return True
        replaced = await replace_box(conn, stored, box)
        done.resealed += replaced
        return replaced

    def _anew(self, stored: StoredBox) -> Mapping[str, object]:
        spec = self._specs.get(stored.source_type)
        if spec is None:
            raise SealError(f"There is no connector for {stored.source_type} here, so its addresses are unknown.")
        try:
            origins = spec.origins(stored.config)
        except (HeadraceError, ValueError, LookupError, TypeError):
            raise SealError("The source's config names no addresses that the box could be bound to.") from None
        context = Context(stored.user_id, stored.source_id, origins)
        return self._sealing.seal(self._ring.open(stored.box, context), context)
