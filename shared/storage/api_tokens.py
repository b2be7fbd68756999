"""Tokens of machines: rows hold a prefix and a hash, never the token."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "api_tokens.sql")

Scope = Literal["read", "sync", "write", "admin"]


class TokenView(BaseModel):
    """A token as its owner sees it. `prefix` is its readable beginning; times are UTC."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What proves a token. `secret_hash`: SHA-256 of its secret part."""

    id: UUID
    user_id: UserId
    secret_hash: bytes
    scopes: frozenset[Scope]
    expires_at: datetime | None


async def insert_token(
    conn: Connection,
    user_id: UserId,
    token_id: UUID,
    name: str,
    prefix: str,
    secret_hash: bytes,
    scopes: Sequence[Scope],
    expires_at: datetime | None,
) -> None:
    """A new token of the tenant."""
    await conn.execute(_SQL["insert"], token_id, user_id, name, prefix, secret_hash, list(scopes), expires_at)


async def find_token(conn: Connection, prefix: str) -> TokenRow | None:
    """The living token with this prefix, whoever's it is; needs no tenant."""
    row = await conn.fetchrow(_SQL["find"], prefix)
    if row is None:
        return None
    return TokenRow(row["id"], UserId(row["user_id"]), row["secret_hash"], frozenset(row["scopes"]), row["expires_at"])


async def token_used(conn: Connection, token_id: UUID) -> None:
    """Remember the use, once a minute at most."""
    await conn.execute(_SQL["used"], token_id)


async def list_tokens(conn: Connection, *, limit: int, before: tuple[datetime, UUID] | None) -> list[TokenView]:
    """The user's tokens, newest first, revoked ones too."""
    at, token_id = before or (None, None)
    return [TokenView(**row) for row in await conn.fetch(_SQL["list"], at, token_id, limit)]


async def load_token(conn: Connection, token_id: UUID) -> TokenView | None:
    """One token of the user's."""
    row = await conn.fetchrow(_SQL["one"], token_id)
    return None if row is None else TokenView(**row)


async def revoke_token(conn: Connection, token_id: UUID) -> bool:
    """False when the tenant has no such living token."""
    return bool(await conn.fetchval(_SQL["revoke"], token_id))
