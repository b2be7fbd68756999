"""What nobody needs any more goes."""

from shared.storage import consents, webhooks
from shared.storage.database import Database
from shared.storage.ended_sessions import forget_ended
from shared.storage.oauth_grants import forget_unused
from shared.storage.queries import load_queries
from shared.storage.read_meters import forget_old_reads
from shared.storage.sign_in import forget_codes
from shared.storage.upstream_calls import forget_old_calls

_SQL = load_queries("services.scheduler", "scheduler.sql")


async def forget(db: Database) -> None:
    """Keys of finished runs, expired tests, codes, sessions and answers, old calls and reads, served events, tokens."""
    async with db.transaction() as conn:
        await conn.execute(_SQL["forget_packs"])  # before the keys that they may become
        await conn.execute(_SQL["forget_keys"])
        await conn.execute(_SQL["forget_probes"])
        await conn.execute(_SQL["forget_idempotency_keys"])
        await forget_old_calls(conn)
        await forget_old_reads(conn)
        await webhooks.forget_old(conn)
        await forget_codes(conn)
        await forget_ended(conn)
        await forget_unused(conn)
        await consents.forget_old(conn)
