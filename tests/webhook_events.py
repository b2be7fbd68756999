"""Events as the gateway keeps them, without the post that brought them."""

from collections.abc import Sequence

from shared.contracts.ids import SourceId, UserId
from shared.storage import webhooks
from shared.storage.database import Database
from shared.storage.webhooks import Change, Delivery, Signer

_BOX = "sealed"


async def keep_events(gateway: Database, source: SourceId, user_id: UserId, changes: Sequence[Change]) -> None:
    """They wait for a run of the source to claim them."""
    async with gateway.for_tenant(user_id) as conn:
        await webhooks.keep_secret(conn, source, user_id, _BOX)
    signer = Signer(source, user_id, _BOX, tuple({change.entity for change in changes}))
    assert await webhooks.take_deliveries(gateway, [Delivery(signer, None, changes)]) == ["taken"]
