"""Records that could not become rows, as the API shows them: each with its reason and as it came."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.contracts.ids import Entity, RunId, SourceId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

MAX_RAW_BYTES = 8 * 1024 * 1024
"""Of one answer's raw texts together, unless the first is larger by itself."""

_SQL = load_queries("shared.storage", "quarantine.sql")


class QuarantinedRecord(BaseModel):
    """One record. `field` None: the record as a whole; `raw`: JSON text, cut at 1 MB; `resolved_at`: a later run read
    it well, or did not find it any more."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    source_id: SourceId
    run_id: RunId
    entity: Entity
    external_id: str | None
    field: str | None
    reason: str
    raw: str
    mapping_version: int
    created_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """None is any. `before`: (created_at, id) of the last one already seen."""

    source_id: SourceId | None
    run_id: RunId | None
    entity: Entity | None
    include_resolved: bool
    before: tuple[datetime, UUID] | None


async def list_quarantined(
    conn: Connection, wanted: QuarantineFilter, limit: int
) -> tuple[list[QuarantinedRecord], bool]:
    """Newest first, at most `limit` and MAX_RAW_BYTES; and whether there are more."""
    at, record_id = wanted.before or (None, None)
    rows = await conn.fetch(
        _SQL["list"], wanted.source_id, wanted.run_id, wanted.entity, wanted.include_resolved, at, record_id,
        limit + 1, MAX_RAW_BYTES,
    )  # fmt: skip
    shown = [QuarantinedRecord.model_validate(dict(row)) for row in rows[:limit]]
    return shown, bool(rows) and rows[0]["available"] > len(shown)
