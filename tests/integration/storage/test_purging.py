"""What is to be purged waits in a table until it is done: Redis away, several fetchers, a purge asked for twice."""

from dataclasses import dataclass, field

import pytest
from core_rig import Core

from services.fetcher.purging import Purger
from shared.contracts.ids import SourceId
from shared.coordination.ports import KeptAnswer, Question, Shelf, Wanted
from shared.errors import PlatformAwayError
from shared.storage import cache_rules


@dataclass
class Purged:
    """A cache that only hears what is to be purged."""

    sources: list[str] = field(default_factory=list)
    away: bool = False

    async def purge(self, source_id: str) -> None:
        if self.away:
            raise PlatformAwayError("Redis is away")
        self.sources.append(source_id)

    async def find(self, shelf: Shelf, question: Question, wanted: Wanted) -> KeptAnswer | None:
        raise AssertionError(shelf, question, wanted)

    async def keep(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int, to_confirm: bool) -> bool:
        raise AssertionError(shelf, question, answer, ttl, to_confirm)

    async def confirm(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int) -> bool:
        raise AssertionError(shelf, question, answer, ttl)


async def forget(core: Core, source_id: SourceId, role: str = "gateway") -> None:
    async with core.databases[role].for_tenant(core.user_id) as conn:
        await cache_rules.forget(conn, source_id)


async def waiting(core: Core) -> int:
    count: int = await core.admin.fetchval("select count(*) from cache_purges")
    return count


async def test_a_purge_waits_for_redis_and_is_done_once(core: Core) -> None:
    source, cache = await core.source(), Purged(away=True)
    purger = Purger(core.databases["fetcher"], cache)
    await forget(core, source)
    await forget(core, source, "fetcher")
    with pytest.raises(PlatformAwayError):
        await purger.purge()
    assert await waiting(core) == 1

    cache.away = False
    await purger.purge()
    await purger.purge()
    assert (cache.sources, await waiting(core)) == ([str(source)], 0)


async def test_of_two_fetchers_each_takes_what_the_other_has_not(core: Core) -> None:
    first, second = await core.source(), await core.source()
    await forget(core, first)
    async with core.databases["fetcher"].transaction() as conn:
        assert await cache_rules.take_purges(conn, 10) == (first,)
        await forget(core, second)
        cache = Purged()
        await Purger(core.databases["fetcher"], cache).purge()
        assert cache.sources == [str(second)]
    assert await waiting(core) == 0


async def test_another_tenants_source_cannot_be_forgotten(core: Core) -> None:
    source = await core.source()
    before = (await core.source_row(source))["cache_secret"]
    async with core.databases["gateway"].for_tenant(type(core.user_id)(int=1)) as conn:
        await cache_rules.forget(conn, source)
    assert (await core.source_row(source))["cache_secret"] == before
    assert await waiting(core) == 0
