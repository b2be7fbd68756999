"""What the ledger's rows are in memory: frozen values, named as their columns."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared.contracts.ids import Entity, Mode, RunId, RunStatus, SourceId, Trigger, UserId
from shared.contracts.mapping import EntityMapping


@dataclass(frozen=True, slots=True)
class RunHead:
    """A run's own row, without its entities."""

    id: RunId
    user_id: UserId
    source_id: SourceId
    source_type: str
    trigger: Trigger
    mode: Mode
    force: bool
    dry_run: bool
    targeted: bool
    status: RunStatus
    run_seq: int | None
    config: dict[str, Any] | None
    mappings: dict[Entity, EntityMapping]
    requested_at: datetime
    started_at: datetime | None


def run_head(row: asyncpg.Record) -> RunHead:
    """A row of sync_runs."""
    return RunHead(
        id=row["id"],
        user_id=row["user_id"],
        source_id=row["source_id"],
        source_type=row["source_type"],
        trigger=row["trigger"],
        mode=row["mode"],
        force=row["force"],
        dry_run=row["dry_run"],
        targeted=row["targeted"],
        status=row["status"],
        run_seq=row["run_seq"],
        config=row["config"],
        mappings={entity: EntityMapping.model_validate(raw) for entity, raw in (row["mappings"] or {}).items()},
        requested_at=row["requested_at"],
        started_at=row["started_at"],
    )
