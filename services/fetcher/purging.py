"""Removes the kept answers of sources that were deleted or changed: nobody could open them any more anyway."""

import structlog

from shared.coordination.ports import ResponseCache
from shared.storage import cache_rules
from shared.storage.database import Database

EVERY_SECONDS = 2.0
AT_ONCE = 20

_log = structlog.get_logger()


class Purger:
    """Looks for what is to be purged. Of several fetchers each takes what no other has; what fails is tried again."""

    def __init__(self, db: Database, cache: ResponseCache) -> None:
        self._db = db
        self._cache = cache

    async def purge(self) -> None:
        """One look. Raises PlatformAwayError when Redis or PostgreSQL is away, and then none of it is done."""
        async with self._db.transaction() as conn:
            sources = await cache_rules.take_purges(conn, AT_ONCE)
            for source_id in sources:
                await self._cache.purge(str(source_id))
        if sources:
            _log.info("kept answers purged", sources=len(sources))
