"""Consents at a vendor's page: the state that is out there, and the code that came back until it is exchanged."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.contracts.ids import SourceId, UserId
from shared.storage.audit import Actor
from shared.storage.database import Connection
from shared.storage.queries import load_queries
from shared.storage.sealed_sources import SealedSource
from shared.storage.sources import SealedCredentials

_SQL = load_queries("shared.storage", "consents.sql")


@dataclass(frozen=True, slots=True)
class Begun:
    """A consent that somebody began: for which source, and where the vendor was told to send the browser back to."""

    source_id: SourceId
    redirect_uri: str
    actor: Actor


@dataclass(frozen=True, slots=True)
class SealedCode:
    """A code to exchange, and the source that it is for, with the account of the consent in its config."""

    id: UUID
    """What the box is bound to."""
    box: Mapping[str, Any] = field(repr=False)
    redirect_uri: str
    source: SealedSource


async def begin(conn: Connection, user_id: UserId, begun: Begun, state: str, binding: str) -> None:
    """Remember it for ten minutes, in place of an earlier one of the source. `binding`: a secret of the browser."""
    actor = begun.actor
    await conn.execute(
        _SQL["begin"], begun.source_id, user_id, _hash(state), _hash(binding), begun.redirect_uri, actor.kind, actor.id
    )


async def take_state(conn: Connection, state: str, binding: str) -> Begun | None:
    """None: unknown, used, expired, or begun by another browser or tenant. Good once."""
    row = await conn.fetchrow(_SQL["take_state"], _hash(state), _hash(binding))
    if row is None:
        return None
    return Begun(SourceId(row["source_id"]), row["redirect_uri"], Actor(row["actor"], row["actor_id"]))


async def insert_code(
    conn: Connection,
    consent_id: UUID,
    user_id: UserId,
    begun: Begun,
    box: Mapping[str, object],
    config: Mapping[str, object],
    renewed_config: Mapping[str, object],
) -> None:
    """For the fetcher, for two minutes. `box`: sealed for `Context(user_id, consent_id, origins of the config)`."""
    await conn.execute(
        _SQL["insert_code"], consent_id, user_id, begun.source_id, dict(box), begun.redirect_uri, dict(config),
        dict(renewed_config), begun.actor.kind, begun.actor.id,
    )  # fmt: skip


async def remove_code(conn: Connection, consent_id: UUID) -> None:
    """Answered or given up."""
    await conn.execute(_SQL["remove_code"], consent_id)


async def take_code(conn: Connection, consent_id: UUID) -> SealedCode | None:
    """For the fetcher, once. Binds the transaction to the tenant; None when it was taken, is gone or too old."""
    await conn.execute(_SQL["bind"], consent_id)
    row = await conn.fetchrow(_SQL["take_code"], consent_id)
    if row is None:
        return None
    source = SealedSource(
        box_id=row["source_id"],
        user_id=row["user_id"],
        source_type=row["source_type"],
        config=row["renewed_config"],
        credentials=row["credentials"],
        rate_limit=row["rate_limit"],
    )
    return SealedCode(row["id"], row["box"], row["redirect_uri"], source)


async def keep(conn: Connection, code: SealedCode, renewed: SealedCredentials) -> bool:
    """Store what the exchange brought. False: the source was changed since the code came, and stays as it is."""
    kept: bool = await conn.fetchval(
        _SQL["keep"], code.id, dict(code.source.credentials or {}), dict(renewed.box), list(renewed.names)
    )
    return kept


async def forget_old(conn: Connection) -> None:
    """Retention: those that nobody came back from."""
    await conn.execute(_SQL["forget_states"])
    await conn.execute(_SQL["forget_codes"])


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
