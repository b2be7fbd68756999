"""Who changed or triggered what: appended in the transaction of the deed, and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "audit.sql")

ActorKind = Literal["user", "token", "webhook", "operator"]
ObjectType = Literal["source", "run", "token", "dead_letter", "connector", "row"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. `id`: of the user or the token; of a webhook, its source."""

    kind: ActorKind
    id: str


class AuditView(BaseModel):
    """One entry. `details` names what changed, never a value that was sent."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    at: datetime
    actor: ActorKind
    actor_id: str
    action: str
    object_type: str
    object_id: str
    details: dict[str, JsonValue]


async def record(
    conn: Connection,
    user_id: UserId,
    actor: Actor,
    action: str,
    object_type: ObjectType,
    object_id: object,
    details: Mapping[str, JsonValue] | None = None,
) -> None:
    """Append to the tenant's log; `action` is `object.verb`, as `source.paused`."""
    await conn.execute(
        _SQL["record"], user_id, actor.kind, actor.id, action, object_type, str(object_id), dict(details or {})
    )


async def list_entries(
    conn: Connection,
    *,
    object_id: str | None,
    action: str | None,
    limit: int,
    before: tuple[datetime, UUID] | None,
) -> list[AuditView]:
    """The user's entries, newest first."""
    at, entry_id = before or (None, None)
    return [AuditView(**row) for row in await conn.fetch(_SQL["list"], at, entry_id, object_id, action, limit)]
