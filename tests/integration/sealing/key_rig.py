"""Sealed sources in a real database, put there and read back as the superuser."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from services.gateway import webhook_secrets
from shared.connector_sdk.registry import discover_specs
from shared.contracts.ids import SourceId, UserId
from shared.sealing.boxes import Context
from shared.sealing.keyring import KeyRing
from shared.sealing.symmetric import SymmetricBox

CONFIG = {"entities": {"inventory": {"url": "https://stock.example.com/items", "id_path": "id"}}}


@dataclass
class Vault:
    """All sources of a database."""

    dsn: str
    pool: "asyncpg.Pool[asyncpg.Record]"

    async def add(self, ring: KeyRing, credentials: Mapping[str, Any] | None = None) -> UUID:
        """A source whose credentials are sealed under the ring's first key."""
        source_id = uuid4()
        await self.pool.execute(
            "insert into external_data_sources (id, user_id, source_type, display_name, config, entities, "
            "credentials_set) values ($1, $2, 'json_api', 'Stock', $3, '{inventory}', '{token}')",
            source_id, uuid4(), json.dumps(CONFIG),
        )  # fmt: skip
        box = await self.seal(ring, source_id, credentials or {"type": "none"})
        await self.pool.execute(
            "update external_data_sources set credentials = $2 where id = $1", source_id, json.dumps(box)
        )
        return source_id

    async def seal(self, ring: KeyRing, source_id: UUID, credentials: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(ring.public().seal(json.dumps(credentials).encode(), await self._context(source_id)))

    async def box(self, source_id: UUID) -> dict[str, Any]:
        text = await self.pool.fetchval("select credentials from external_data_sources where id = $1", source_id)
        box: dict[str, Any] = json.loads(text)
        return box

    async def opened(self, ring: KeyRing, source_id: UUID) -> Any:
        return json.loads(ring.open(await self.box(source_id), await self._context(source_id)))

    async def kids(self) -> dict[str, int]:
        rows = await self.pool.fetch(
            "select credentials ->> 'kid' as kid, count(*) as boxes from external_data_sources "
            "where credentials is not null group by 1"
        )
        return {row["kid"]: row["boxes"] for row in rows}

    async def claim(self, ring: KeyRing) -> None:
        """As a fetcher that started with this ring."""
        for kid, half in ring.public().halves.items():
            await self.pool.execute("insert into sealing_keys (kid, public_key) values ($1, $2)", kid, half)

    async def add_webhook_secret(self, keys: SymmetricBox, source_id: UUID, secret: str) -> None:
        user_id = await self._owner(source_id)
        await self.pool.execute(
            "insert into webhook_secrets (source_id, user_id, box) values ($1, $2, $3)",
            source_id, user_id, webhook_secrets.seal(keys, user_id, SourceId(source_id), secret),
        )  # fmt: skip

    async def webhook_secret(self, keys: SymmetricBox, source_id: UUID) -> bytes | None:
        box = await self.pool.fetchval("select box from webhook_secrets where source_id = $1", source_id)
        return webhook_secrets.open_secret(keys, await self._owner(source_id), SourceId(source_id), box)

    async def column(self, name: str) -> list[Any]:
        return [row[0] for row in await self.pool.fetch(f"select {name} from external_data_sources order by id")]

    async def _context(self, source_id: UUID) -> Context:
        return Context(await self._owner(source_id), SourceId(source_id), discover_specs()["json_api"].origins(CONFIG))

    async def _owner(self, source_id: UUID) -> UserId:
        return UserId(await self.pool.fetchval("select user_id from external_data_sources where id = $1", source_id))
