"""A shop whose answers are kept, and a look at what is kept of them."""

from typing import Any

from redis.asyncio import Redis
from test_json_api_run import MAPPING

from pipeline import Pipeline
from sandboxes.json_api.state import JsonApiState
from shared.contracts.ids import SourceId, UserId
from shared.storage.run_views import RunView

PAGES = {"type": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"}


class Shop:
    """A shop whose products a source reads in four pages."""

    def __init__(self, pipeline: Pipeline, state: JsonApiState, url: str) -> None:
        self.pipeline = pipeline
        self.state = state
        self.url = url

    async def add(self, *, incremental: bool = False, **columns: Any) -> SourceId:
        entity: dict[str, Any] = {
            "url": f"{self.url}/cursor/products?size=20",
            "id_path": "productID",
            "records_path": "data",
            "pagination": PAGES,
        }
        if incremental:
            entity |= {"updated_at_path": "updatedAt", "updated_since_param": "updated_since"}
        return await self.pipeline.add_source({"entities": {"inventory": entity}}, field_mappings=MAPPING, **columns)

    async def sync(self, source: SourceId, **wishes: Any) -> RunView:
        """A run that may use what is kept, with the requests before it forgotten."""
        self.state.behaviour.log.clear()
        return await self.pipeline.sync(source, **{"force": False, **wishes})

    @property
    def calls(self) -> int:
        return len(self.state.arrivals)

    async def price(self, source: SourceId, key: str) -> str:
        rows = {row["external_id"]: row for row in await self.pipeline.rows("inventory", source, deleted=True)}
        return str(rows[key]["unit_price"])

    async def cursor(self, source: SourceId) -> Any:
        return await self.pipeline.admin.fetchrow("select * from sync_cursors where source_id = $1", source)


async def entries_of(redis_url: str, user_id: UserId) -> dict[str, bytes]:
    """Everything that is kept for this user's sources, by its key."""
    async with Redis.from_url(redis_url) as redis:
        keys = [key async for key in redis.scan_iter(match=f"connector:*:{user_id}:*", count=1000)]
        return {key.decode(): await redis.get(key) or b"" for key in sorted(keys)}


async def drop(redis_url: str, *keys: str) -> None:
    """As if their time were over."""
    async with Redis.from_url(redis_url) as redis:
        for key in keys:
            assert await redis.delete(key) == 1
