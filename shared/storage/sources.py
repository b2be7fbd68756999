"""Sources as the API shows and changes them. Sealed credentials go in and are never read back here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from shared.contracts.ids import Entity, RunId, SourceId, UserId
from shared.storage import cache_rules
from shared.storage.database import Connection, Record
from shared.storage.queries import load_queries
from shared.storage.read_meters import MonthlyReads

_SQL = load_queries("shared.storage", "sources.sql")

SyncStatus = Literal["never_synced", "syncing", "success", "partial", "failed", "paused"]
JsonObject = dict[str, JsonValue]


class SourceView(BaseModel):
    """A source without its credentials; `credentials_set` holds the names of those that are stored."""

    model_config = ConfigDict(frozen=True)

    id: SourceId
    source_type: str
    display_name: str
    description: str | None
    config: JsonObject
    credentials_set: list[str]
    field_mappings: JsonObject
    mapping_version: int
    entities: list[Entity]
    sync_enabled: bool
    sync_frequency: str
    full_sync_every: str | None
    cache_ttl_seconds: int
    rate_limit: dict[str, int]
    sync_status: SyncStatus
    sync_error: str | None
    paused_at: datetime | None
    last_sync_at: datetime | None
    last_attempt_at: datetime | None
    last_sync_duration_ms: int | None
    next_sync_at: datetime | None
    requests_this_minute: int
    requests_this_hour: int
    last_request_at: datetime | None
    metered_reads: MonthlyReads | None
    """Where the vendor counts reads by the month: those of this source."""
    created_at: datetime
    updated_at: datetime
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class SealedCredentials:
    """The sealed box as JSON, and the names of what is in it."""

    box: Mapping[str, object]
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class SourceValues:
    """All that a user decides about a source, checked. `next_sync_at` None: not by itself."""

    display_name: str
    description: str | None
    config: JsonObject
    field_mappings: JsonObject
    entities: Sequence[Entity]
    sync_enabled: bool
    sync_frequency: str
    full_sync_every: str | None
    cache_ttl_seconds: int
    rate_limit: Mapping[str, int]
    next_sync_at: datetime | None


async def insert_source(
    conn: Connection,
    source_id: SourceId,
    user_id: UserId,
    source_type: str,
    values: SourceValues,
    credentials: SealedCredentials,
) -> None:
    """Write a new source."""
    await conn.execute(
        _SQL["insert"], source_id, user_id, source_type, values.display_name, values.description, values.config,
        dict(credentials.box), list(credentials.names), values.field_mappings, list(values.entities),
        values.sync_enabled, values.sync_frequency, values.full_sync_every, values.cache_ttl_seconds,
        dict(values.rate_limit), values.next_sync_at,
    )  # fmt: skip


async def load_source(conn: Connection, source_id: SourceId) -> SourceView | None:
    """One living source; None when this role may not see it."""
    row = await conn.fetchrow(_SQL["select"], source_id, False, None, None, 1)
    return None if row is None else _view(row)


async def lock_source(conn: Connection, source_id: SourceId) -> SourceView | None:
    """The same, locked until the transaction ends: for reading, deciding and writing back."""
    await conn.fetchrow(_SQL["lock"], source_id)
    return await load_source(conn, source_id)


async def list_sources(
    conn: Connection, *, include_deleted: bool, limit: int, after: tuple[datetime, UUID] | None
) -> list[SourceView]:
    """Oldest first; `after` is (created_at, id) of the last one already seen."""
    at, source_id = after or (None, None)
    return [_view(row) for row in await conn.fetch(_SQL["select"], None, include_deleted, at, source_id, limit)]


async def update_source(conn: Connection, source_id: SourceId, values: SourceValues, mapping_version: int) -> None:
    """Write everything but credentials."""
    await conn.execute(
        _SQL["update"], source_id, values.display_name, values.description, values.config, values.field_mappings,
        mapping_version, list(values.entities), values.sync_enabled, values.sync_frequency, values.full_sync_every,
        values.cache_ttl_seconds, dict(values.rate_limit), values.next_sync_at,
    )  # fmt: skip


async def replace_credentials(conn: Connection, source_id: SourceId, credentials: SealedCredentials) -> None:
    """The old box is gone with this."""
    await conn.execute(_SQL["replace_credentials"], source_id, dict(credentials.box), list(credentials.names))


async def erase_source(conn: Connection, source_id: SourceId) -> None:
    """Mark it deleted; erase its credentials and the answers kept for it. Its rows stay."""
    await conn.execute(_SQL["erase"], source_id)
    await conn.execute(_SQL["forget_cursors"], source_id)
    await cache_rules.forget(conn, source_id)


async def pause_source(conn: Connection, source_id: SourceId) -> None:
    """No run by time or webhook until resumed; a run that is active goes on."""
    await conn.execute(_SQL["pause"], source_id)


async def resume_source(conn: Connection, source_id: SourceId, next_sync_at: datetime | None) -> None:
    """Undo a pause; does nothing to a source that is not paused."""
    await conn.execute(_SQL["resume"], source_id, next_sync_at)


async def forget_cursors(conn: Connection, source_id: SourceId) -> None:
    """The next run of every entity reads in full. Rows stay."""
    await conn.execute(_SQL["forget_cursors"], source_id)


async def enabled_source_ids(conn: Connection) -> list[SourceId]:
    """The tenant's sources that sync by themselves or on an outside request, oldest first."""
    return [row["id"] for row in await conn.fetch(_SQL["enabled"])]


async def active_run_ids(conn: Connection, source_id: SourceId) -> list[RunId]:
    """Its queued and its running run, the queued one first: ending the running one must not start the other."""
    return [row["id"] for row in await conn.fetch(_SQL["active_runs"], source_id)]


def _view(row: Record) -> SourceView:
    values = dict(row)
    values["config"] = json.loads(values["config"])
    values["field_mappings"] = json.loads(values["field_mappings"])
    return SourceView.model_validate(values)
