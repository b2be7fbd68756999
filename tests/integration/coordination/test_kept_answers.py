"""The response cache's store: sealed, bounded, one source's apart from another's, gone when asked or over."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from pipeline import eventually
from shared.coordination.ports import KeptAnswer, Question, Shelf
from shared.coordination.redis import RedisServer
from shared.coordination.response_cache import CONFIRM_SECONDS, RedisResponseCache
from shared.errors import PlatformAwayError
from shared.sealing.keyring import KeyRing, generate_key
from shared.sealing.symmetric import derive_cache_keys

OLD, NEW = generate_key("old"), generate_key("new")
BODY = b'{"secret": "canary-in-a-body"}'


def answer(body: bytes = BODY, **changes: object) -> KeptAnswer:
    headers = {"content-type": "application/json", "etag": '"one"'}
    kept = KeptAnswer(headers, body, "http://vendor/items?page=1", frozenset({"key"}), 1000.5, 7)
    return replace(kept, **changes)  # type: ignore[arg-type] # the caller names fields


def asked() -> Question:
    return Question("GET", uuid.uuid4().hex)


def shelf() -> Shelf:
    return Shelf("json_api", str(uuid.uuid4()), str(uuid.uuid4()), uuid.uuid4().bytes)


@dataclass
class Rig:
    server: RedisServer
    raw: Redis
    prefix: str

    def cache(self, keys: str = OLD, **limits: int) -> RedisResponseCache:
        boxes = derive_cache_keys(KeyRing.parse(keys))
        return RedisResponseCache(self.server, boxes, prefix=self.prefix, **limits)

    async def keys(self, mine: Shelf) -> list[bytes]:
        return [key async for key in self.raw.scan_iter(match=f"connector:*{mine.user_id}*", count=1000)]

    async def books(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await self.raw.hgetall(f"{self.prefix}{{cache}}:sizes")
        return {name: size for name, size in found.items() if size != b"0"}


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    async with RedisServer.at(redis_url) as server, Redis.from_url(redis_url) as raw:
        made = Rig(server, raw, f"test:{uuid.uuid4().hex}:")
        yield made
        for key in [key async for key in raw.scan_iter(match=f"{made.prefix}*", count=1000)]:
            await raw.delete(key)


@pytest.mark.parametrize("to_confirm", [False, True], ids=["as_it_is", "to_confirm"])
async def test_what_was_kept_is_found_as_it_was(rig: Rig, to_confirm: bool) -> None:
    mine, question = shelf(), asked()
    assert await rig.cache().find(mine, question, "fresh") is None
    assert await rig.cache().keep(mine, question, answer(), ttl=60, to_confirm=to_confirm)

    assert await rig.cache().find(mine, question, "fresh") == answer()
    assert await rig.cache().find(mine, asked(), "either") is None
    (key,) = await rig.keys(mine)
    assert key.decode() == f"connector:json_api:{mine.user_id}:GET:{question.digest}"
    assert 50 < await rig.raw.ttl(key) <= 60
    for kept in [key, *[key async for key in rig.raw.scan_iter(match=f"{rig.prefix}*held*")]]:
        assert b"canary" not in await rig.raw.get(kept)
        assert b"vendor" not in await rig.raw.get(kept)


async def test_a_large_body_comes_back_whole(rig: Rig) -> None:
    mine, question, body = shelf(), asked(), b"0123456789" * 200_000
    assert await rig.cache().keep(mine, question, answer(body), ttl=60, to_confirm=True)
    found = await rig.cache().find(mine, question, "fresh")
    assert found is not None
    assert found.body == body


async def test_beyond_its_time_it_is_there_to_be_confirmed_and_not_longer(rig: Rig) -> None:
    mine, question, cache = shelf(), asked(), rig.cache()
    await cache.keep(mine, question, answer(), ttl=60, to_confirm=True)
    (key,) = await rig.keys(mine)
    held = f"{rig.prefix}{{cache}}:held:{question.digest}"
    await rig.raw.delete(key)
    await rig.raw.expire(held, 1000)

    assert await cache.find(mine, question, "fresh") is None
    assert await cache.find(mine, question, "either") == answer(fresh=False)
    again = answer(kept_at=2000.0, kept_by=9)
    assert await cache.confirm(mine, question, again, ttl=60)
    assert await cache.find(mine, question, "fresh") == again
    assert await rig.raw.ttl(held) <= 1000 < CONFIRM_SECONDS
    await rig.raw.delete(held)
    assert await cache.find(mine, question, "fresh") is None


async def test_only_the_source_with_its_secret_and_these_keys_opens_it(rig: Rig) -> None:
    mine, question = shelf(), asked()
    await rig.cache(OLD).keep(mine, question, answer(), ttl=60, to_confirm=False)

    assert await rig.cache(f"{NEW},{OLD}").find(mine, question, "fresh") == answer()
    assert await rig.cache(NEW).find(mine, question, "fresh") is None
    forgot = replace(mine, secret=uuid.uuid4().bytes)
    assert await rig.cache(OLD).find(forgot, question, "fresh") is None
    (key,) = await rig.keys(mine)
    other = asked()
    await rig.raw.set(key.decode().replace(question.digest, other.digest), await rig.raw.get(key), ex=60)
    assert await rig.cache(OLD).find(mine, other, "fresh") is None
    await rig.raw.set(key, b"not ours at all", ex=60)
    assert await rig.cache(OLD).find(mine, question, "fresh") is None


@pytest.mark.parametrize("to_confirm", [False, True], ids=["as_it_is", "to_confirm"])
async def test_what_is_distrusted_is_gone_and_its_neighbour_stays(rig: Rig, to_confirm: bool) -> None:
    mine, question, neighbour, cache = shelf(), asked(), asked(), rig.cache()
    for kept in (question, neighbour):
        await cache.keep(mine, kept, answer(), ttl=60, to_confirm=to_confirm)
    books = len(await rig.books())

    for _ in range(2):
        await cache.distrust(mine, question)
        assert await cache.find(mine, question, "either") is None
        assert await cache.find(mine, neighbour, "fresh") == answer()
        assert len(await rig.books()) == books - (2 if to_confirm else 1)
    await cache.purge(mine.source_id)
    assert await rig.books() == {}


async def test_one_source_is_purged_and_the_other_stays(rig: Rig) -> None:
    mine, other, cache = shelf(), shelf(), rig.cache()
    kept = asked()
    for _ in range(3):
        await cache.keep(mine, asked(), answer(), ttl=60, to_confirm=True)
    await cache.keep(other, kept, answer(), ttl=60, to_confirm=False)
    assert len(await rig.books()) == 3 * 2 + 1 + 1  # and the sum

    await cache.purge(mine.source_id)
    assert await rig.keys(mine) == []
    assert [key async for key in rig.raw.scan_iter(match=f"{rig.prefix}*held*")] == []
    assert len(await rig.books()) == 1 + 1
    assert await cache.find(other, kept, "fresh") == answer()
    await cache.purge(mine.source_id)
    await cache.purge(other.source_id)
    assert await rig.books() == {}


async def test_the_whole_is_bounded_and_what_would_end_first_makes_room(rig: Rig) -> None:
    mine, cache = shelf(), rig.cache(max_bytes=10_000)
    first, second, third = asked(), asked(), asked()
    for question, ttl in ((first, 30), (second, 60), (third, 90)):
        assert await cache.keep(mine, question, answer(b"x" * 4000), ttl=ttl, to_confirm=False)

    assert await cache.find(mine, first, "fresh") is None
    assert await cache.find(mine, second, "fresh") is not None
    assert sum([len(await rig.raw.get(key)) for key in await rig.keys(mine)]) <= 10_000
    assert not await cache.keep(mine, second, answer(b"x" * 10_000), ttl=60, to_confirm=False)
    assert await cache.find(mine, second, "fresh") is None, "an older answer stayed in its place"
    assert int((await rig.books())[b"+"]) == len(await rig.raw.get((await rig.keys(mine))[0]))


async def test_what_is_over_leaves_the_books(rig: Rig) -> None:
    mine, cache = shelf(), rig.cache(max_bytes=5_000)
    assert await cache.keep(mine, asked(), answer(b"x" * 4000), ttl=1, to_confirm=False)

    async def fits() -> bool:
        return await cache.keep(mine, asked(), answer(b"x" * 4500), ttl=60, to_confirm=False)

    await eventually(fits, bool, within=10)
    assert len(await rig.books()) == 2


async def test_redis_away_is_said() -> None:
    async with RedisServer.at("redis://127.0.0.1:1/0", timeout=1.0) as away:
        cache = RedisResponseCache(away, derive_cache_keys(KeyRing.parse(OLD)))
        with pytest.raises(PlatformAwayError):
            await cache.find(shelf(), asked(), "fresh")
