"""The signing secrets of webhooks, sealed anew: keys derived from the master keys rotate with them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.gateway.webhook_secrets import open_secret, seal
from shared.sealing.keyring import KeyRing
from shared.sealing.symmetric import WEBHOOK_SETTING, SymmetricBox, derive_webhook_keys, kid_of_text
from shared.storage.database import Connection, Database
from shared.storage.sealing_keys import StoredWebhookBox, replace_webhook_box, webhook_boxes

BATCH = 50


@dataclass(slots=True)
class WebhookResealing:
    """`keys`: boxes by key's name afterwards; `failed`: sources whose secret no key opens: it must be made anew."""

    resealed: int = 0
    failed: list[UUID] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)


def webhook_keys(environ: Mapping[str, str], ring: KeyRing) -> SymmetricBox:
    """As the gateway has them: set, or derived from the ring. Raises StartupError naming the setting."""
    text = environ.get(WEBHOOK_SETTING)
    return SymmetricBox.parse(text) if text else derive_webhook_keys(ring)


async def reseal_webhook_secrets(db: Database, keys: SymmetricBox) -> WebhookResealing:
    """Under the first key, as `Resealer` does it: small batches, compare and set, safe to kill and to run again."""
    done = WebhookResealing()

    async def reseal(conn: Connection, stored: StoredWebhookBox) -> None:
        if kid_of_text(stored.box) == keys.current_kid:
            return
        secret = open_secret(keys, stored.user_id, stored.source_id, stored.box)
        if secret is None:
            done.failed.append(stored.source_id)
            return
        box = seal(keys, stored.user_id, stored.source_id, secret.decode())
        done.resealed += await replace_webhook_box(conn, stored, box)

    async def count(_conn: Connection, stored: StoredWebhookBox) -> None:
        kid = kid_of_text(stored.box)
        done.keys[kid] = done.keys.get(kid, 0) + 1

    await _each(db, reseal)
    await _each(db, count)
    return done


async def _each(db: Database, work: Callable[[Connection, StoredWebhookBox], Awaitable[None]]) -> None:
    after: UUID | None = None
    while True:
        async with db.transaction() as conn:
            boxes = await webhook_boxes(conn, after, BATCH)
            for stored in boxes:
                await work(conn, stored)
        if not boxes:
            return
        after = boxes[-1].source_id
