"""One-time sign-in codes: made by whoever runs the local stack, taken once by the gateway."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "sign_in.sql")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whom a code signs in."""

    user_id: UserId
    is_admin: bool


async def offer_code(connection: "asyncpg.Connection[Any]", user_id: UserId, *, is_admin: bool) -> str:
    """A new code, good once within ten minutes. `connection`: of the role that owns our tables."""
    code = secrets.token_urlsafe(24)
    await connection.execute(_SQL["offer"], _hash(code), user_id, is_admin)
    return code


async def take_code(conn: Connection, code: str) -> SignedIn | None:
    """None: unknown, used or expired. Needs no tenant."""
    row = await conn.fetchrow(_SQL["take"], _hash(code))
    return None if row is None else SignedIn(UserId(row["user_id"]), row["is_admin"])


async def forget_codes(conn: Connection) -> None:
    """Those that nobody used."""
    await conn.execute(_SQL["forget"])


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
