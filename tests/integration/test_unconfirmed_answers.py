"""A 304 that speaks of another answer, where the budget has no slot left to ask again at once."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b

import pytest

from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.connector_sdk.caching import CacheEvent, StepCache
from shared.connector_sdk.credentials import Secrets
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import Request
from shared.contracts.ids import SourceId, UserId
from shared.coordination.ports import Shelf
from shared.coordination.redis import RedisServer
from shared.coordination.response_cache import RedisResponseCache
from shared.errors import ParkError
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy
from shared.sealing.keyring import KeyRing, generate_key
from shared.sealing.symmetric import derive_cache_keys
from shared.storage.cache_rules import CacheRule


class OneCall:
    """A step's budget on a saturated account: what goes beyond the one call comes back later."""

    def __init__(self) -> None:
        self.left = 1

    async def spend(self, *limit_classes: str) -> None:  # noqa: ARG002 - the port's signature
        if self.left == 0:
            raise ParkError("later", resume_at=1.0, slot="s", wait=1.0)
        self.left -= 1

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        """No vendor says 429 here."""

    @asynccontextmanager
    async def concurrency(self, limit_class: str) -> AsyncIterator[None]:  # noqa: ARG002 - the port's signature
        yield


@dataclass
class World:
    state: JsonApiState
    url: str
    http: HttpClient
    store: RedisResponseCache
    rule: CacheRule

    def step(self) -> MeteredClient:
        events: list[CacheEvent] = []
        shelf = Shelf("json_api", str(self.rule.user_id), str(self.rule.source_id), self.rule.secret.bytes)
        cache = StepCache(self.store, self.rule, shelf, "", _named, SystemClock(), events.append, uses=False)
        return MeteredClient(self.http, Secrets(), OneCall(), cache)

    async def read(self, *, streamed: bool) -> bytes:
        """What one step reads and accepts."""
        client, request = self.step(), Request("GET", f"{self.url}/all/products")
        body = b"".join([piece async for piece in client.stream(request)]) if streamed else None
        body = (await client.send(request)).body if body is None else body
        await client.keep()
        return body


def _named(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()


@pytest.fixture
async def world(redis_url: str) -> AsyncGenerator[World, None]:
    state = JsonApiState.northwind()
    state.behaviour.validators = "strong"
    async with (
        running(build_app(state)) as url,
        HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock()) as http,
        RedisServer.at(redis_url) as redis,
    ):
        boxes = derive_cache_keys(KeyRing.parse(generate_key("key")))
        store = RedisResponseCache(redis, boxes, prefix=f"test:{uuid.uuid4().hex}:")
        rule = CacheRule(
            SourceId(uuid.uuid4()), UserId(uuid.uuid4()), 60, uuid.uuid4(), "never", run_seq=5, kept_since=4
        )
        yield World(state, url, http, store, rule)
        await store.purge(str(rule.source_id))


@pytest.mark.parametrize("streamed", [False, True], ids=["send", "stream"])
async def test_who_comes_back_asks_for_it_whole(world: World, streamed: bool) -> None:
    before = await world.read(streamed=streamed)
    world.state.behaviour.validators = "confused"
    world.state.edit("products", 1, unitPrice=99)

    with pytest.raises(ParkError):
        await world.read(streamed=streamed)
    assert await world.read(streamed=streamed) != before
    assert [arrival.status for arrival in world.state.arrivals] == [200, 304, 200]
