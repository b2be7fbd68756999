"""Who may sign webhooks, remembered for a few seconds: at hundreds a second nothing is looked up for each."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway import webhook_secrets
from services.gateway.gathering import Gatherer
from shared.clock import Clock
from shared.contracts.ids import SourceId
from shared.sealing.symmetric import SymmetricBox
from shared.storage import webhooks
from shared.storage.database import Database
from shared.storage.webhooks import Signer

FRESH_SECONDS = 5.0
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """A source that takes webhooks, and the secret that its senders sign with."""

    signer: Signer
    secret: bytes = field(repr=False)


class Signers:
    """What is remembered may be out of date: whoever keeps a delivery compares the box that it was checked with."""

    def __init__(self, database: Database, box: SymmetricBox, clock: Clock) -> None:
        self._database = database
        self._box = box
        self._clock = clock
        self._known: OrderedDict[SourceId, tuple[float, Known]] = OrderedDict()
        self._lookups: Gatherer[SourceId, Known | None] = Gatherer(self._look_up)

    def remembered(self, source_id: SourceId) -> Known | None:
        """As it was seconds ago."""
        until, known = self._known.get(source_id, (0.0, None))
        return known if until > self._clock.unix() else None

    async def look_up(self, source_id: SourceId) -> Known | None:
        """As it is now; None: no such source, or one without a secret. Together with others who ask at this moment."""
        known = await self._lookups.do(source_id)
        self._known.pop(source_id, None)
        if known is not None:
            self._known[source_id] = (self._clock.unix() + FRESH_SECONDS, known)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return known

    def opened(self, signer: Signer) -> Known | None:
        """None when the secret cannot be opened."""
        secret = webhook_secrets.open_secret(self._box, signer.user_id, signer.source_id, signer.box)
        return None if secret is None else Known(signer, secret)

    async def _look_up(self, source_ids: Sequence[SourceId]) -> list[Known | None]:
        found = await webhooks.find_signers(self._database, list(dict.fromkeys(source_ids)))
        known = {source_id: self.opened(signer) for source_id, signer in found.items()}
        return [known.get(source_id) for source_id in source_ids]
