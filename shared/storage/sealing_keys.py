"""Keys by name, and the sealed boxes that each of them holds. Boxes are never opened here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contracts.ids import SourceId, UserId
from shared.storage.database import Connection, Record
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "sealing_keys.sql")


@dataclass(frozen=True, slots=True)
class Claim:
    """`foreign`: names that stand for other keys; `fresh`: names that nobody had used before. Both sorted."""

    foreign: tuple[str, ...]
    fresh: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredBox:
    """A source's sealed credentials, and what they are bound to."""

    source_id: SourceId
    user_id: UserId
    source_type: str
    config: Mapping[str, Any]
    box: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredWebhookBox:
    """A source's sealed signing secret."""

    source_id: SourceId
    user_id: UserId
    box: str


@dataclass(frozen=True, slots=True)
class InUse:
    """Boxes under one key's name: credentials of sources, and tokens of consents."""

    boxes: int
    tokens: int

    @property
    def all(self) -> int:
        """Both."""
        return self.boxes + self.tokens


async def claim(conn: Connection, halves: Mapping[str, bytes]) -> Claim:
    """Say which keys (name -> public half, 32 bytes) the caller holds. A name belongs to the key that came first."""
    fresh = await conn.fetch(_SQL["claim"], list(halves), list(halves.values()))
    return Claim(await foreign_names(conn, halves), tuple(sorted(row["kid"] for row in fresh)))


async def foreign_names(conn: Connection, halves: Mapping[str, bytes]) -> tuple[str, ...]:
    """Those of the names that stand for other keys, sorted; a name that nobody has claimed is fine."""
    known = {row["kid"]: row["public_key"] for row in await conn.fetch(_SQL["halves"], list(halves))}
    return tuple(sorted(kid for kid, half in halves.items() if known.get(kid, half) != half))


async def first_seen(conn: Connection) -> dict[str, datetime]:
    """Every name that was claimed, and when."""
    return {row["kid"]: row["first_seen_at"] for row in await conn.fetch(_SQL["first_seen"])}


async def kids_in_use(conn: Connection) -> dict[str, InUse]:
    """What is stored under each key's name; what names none counts under the empty name."""
    return {row["kid"]: InUse(row["boxes"], row["tokens"]) for row in await conn.fetch(_SQL["in_use"])}


async def boxes_under(conn: Connection, kid: str, most: int) -> list[StoredBox]:
    """Some of the boxes under this name, of any tenant; for the fetcher's role."""
    return [_box(row) for row in await conn.fetch(_SQL["boxes_under"], kid, most)]


async def count_waiting(conn: Connection, current_kid: str) -> int:
    """Boxes under any other name. This and what follows: for the role headrace_keys."""
    waiting: int = await conn.fetchval(_SQL["waiting"], current_kid)
    return waiting


async def next_boxes(conn: Connection, current_kid: str, after: UUID | None, most: int) -> list[StoredBox]:
    """Boxes under any other name, by id; `after` is the last id already seen."""
    return [_box(row) for row in await conn.fetch(_SQL["next_boxes"], current_kid, after, most)]


async def replace_box(conn: Connection, old: StoredBox, new: Mapping[str, object]) -> bool:
    """False: somebody has changed or erased the credentials meanwhile, and theirs stay."""
    return await conn.fetchval(_SQL["replace"], old.source_id, dict(old.box), dict(new)) is not None


async def erase_box(conn: Connection, old: StoredBox) -> bool:
    """The source has no credentials any more. False as for `replace_box`."""
    return await conn.fetchval(_SQL["erase"], old.source_id, dict(old.box)) is not None


async def webhook_boxes(conn: Connection, after: UUID | None, most: int) -> list[StoredWebhookBox]:
    """By source; `after` is the last source already seen."""
    rows = await conn.fetch(_SQL["webhook_boxes"], after, most)
    return [StoredWebhookBox(row["source_id"], row["user_id"], row["box"]) for row in rows]


async def replace_webhook_box(conn: Connection, old: StoredWebhookBox, box: str) -> bool:
    """False: a new secret was made meanwhile, and stays."""
    return await conn.fetchval(_SQL["replace_webhook_box"], old.source_id, old.box, box) is not None


def _box(row: Record) -> StoredBox:
    return StoredBox(row["id"], row["user_id"], row["source_type"], row["config"], row["credentials"])
