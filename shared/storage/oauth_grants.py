"""The tokens of a consent, sealed: read without a lock, changed under the row's lock, an attempt marked before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "oauth_grants.sql")


@dataclass(frozen=True, slots=True)
class GrantRow:
    """What is known of a consent. Seconds are measured by the database's clock."""

    known: bool
    """Whether the row already knows who asks, and what its tokens are bound to."""
    version: int
    tokens: Mapping[str, Any] | None
    """A sealed box."""
    attempt: UUID | None
    """A refresh whose outcome was never stored."""
    attempt_answered: bool
    attempt_age: float
    remaining: float
    """Until the access token ends."""
    life: float
    """From its issue to its end."""
    reconnect_since: datetime | None
    reconnect_reason: str | None


async def ensure(conn: Connection, grant_id: UUID, user_id: UserId, used_by: UUID, origins: Sequence[str]) -> None:
    """The row exists, and knows who uses it and what its tokens are bound to."""
    await conn.execute(_SQL["ensure"], grant_id, user_id, used_by, list(origins))


async def read(conn: Connection, grant_id: UUID, used_by: UUID) -> GrantRow | None:
    """As it is now; None before the first use."""
    row = await conn.fetchrow(_SQL["read"], grant_id, used_by)
    if row is None:
        return None
    return GrantRow(
        known=row["known"],
        version=row["version"],
        tokens=row["tokens"],
        attempt=row["attempt"],
        attempt_answered=row["attempt_answered"],
        attempt_age=row["attempt_age"] or 0.0,
        remaining=row["remaining"] or 0.0,
        life=row["life"] or 0.0,
        reconnect_since=row["reconnect_since"],
        reconnect_reason=row["reconnect_reason"],
    )


async def lock(conn: Connection, grant_id: UUID, used_by: UUID) -> GrantRow | None:
    """The same, held until the transaction ends: two refreshers never pass here together."""
    await conn.execute(_SQL["lock"], grant_id)
    return await read(conn, grant_id, used_by)


async def begin_attempt(conn: Connection, grant_id: UUID, attempt: UUID) -> None:
    """To be committed before the call, so that a crash in it is visible."""
    await conn.execute(_SQL["begin"], grant_id, attempt)


async def end_attempt(conn: Connection, grant_id: UUID, attempt: UUID) -> None:
    """The vendor answered without giving tokens: nothing is under way any more."""
    await conn.execute(_SQL["answered"], grant_id, attempt)


async def store_tokens(
    conn: Connection, grant_id: UUID, attempt: UUID, box: Mapping[str, Any], life: float, refresh_life: float | None
) -> int | None:
    """The attempt's reply; its version. None when the attempt is not the newest any more."""
    version: int | None = await conn.fetchval(_SQL["store"], grant_id, attempt, dict(box), life, refresh_life)
    return version


async def refuse(conn: Connection, grant_id: UUID, attempt: UUID, reason: str) -> None:
    """The vendor refuses the consent: nobody asks again with it."""
    await conn.execute(_SQL["refuse"], grant_id, attempt, reason)


async def forget_unused(conn: Connection) -> None:
    """Retention: no vendor's refresh token lives that long unused."""
    await conn.execute(_SQL["forget"])


@dataclass(frozen=True, slots=True)
class SealedTokens:
    """A consent's sealed box, and what it is bound to. `origins` None: written before they were kept."""

    user_id: UserId
    origins: tuple[str, ...] | None
    box: Mapping[str, Any]


async def count_waiting(conn: Connection, current_kid: str) -> int:
    """Consents whose tokens are sealed under any other name. This and what follows: for the role headrace_keys."""
    waiting: int = await conn.fetchval(_SQL["waiting"], current_kid)
    return waiting


async def next_waiting(conn: Connection, current_kid: str, after: UUID | None) -> UUID | None:
    """The next of them by id; `after` is the last one already seen."""
    grant_id: UUID | None = await conn.fetchval(_SQL["next_waiting"], current_kid, after)
    return grant_id


async def lock_sealed(conn: Connection, grant_id: UUID) -> SealedTokens | None:
    """The tokens as whoever was refreshing them has left them; nobody refreshes until the transaction ends."""
    await conn.execute(_SQL["lock"], grant_id)
    row = await conn.fetchrow(_SQL["sealed"], grant_id)
    if row is None:
        return None
    origins = None if row["origins"] is None else tuple(row["origins"])
    return SealedTokens(row["user_id"], origins, row["tokens"])


async def configs_of_users(conn: Connection, grant_id: UUID) -> list[tuple[str, Mapping[str, Any]]]:
    """(source type, config) of the sources that use the consent."""
    return [(row["source_type"], row["config"]) for row in await conn.fetch(_SQL["users"], grant_id)]


async def replace_tokens(conn: Connection, grant_id: UUID, box: Mapping[str, object]) -> None:
    """The same tokens in another box, under the row's lock."""
    await conn.execute(_SQL["reseal"], grant_id, dict(box))


async def erase_tokens(conn: Connection, grant_id: UUID) -> None:
    """Nobody can open them: what is left is the token that the consent gave."""
    await conn.execute(_SQL["erase"], grant_id)
