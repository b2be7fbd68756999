"""The one-time link with which the local user signs in."""

from urllib.parse import quote

import asyncpg

from shared.contracts.ids import UserId
from shared.errors import PlatformAwayError
from shared.storage.database import AWAY
from shared.storage.sign_in import offer_code


async def sign_in_link(gateway_url: str, database_url: str, schema: str, user: UserId) -> str:
    """Good once, for ten minutes; the database holds its hash. Raises PlatformAwayError."""
    try:
        connection = await asyncpg.connect(
            database_url, timeout=10, server_settings={"search_path": f'"{schema}"', "application_name": "headrace"}
        )
        try:
            code = await offer_code(connection, user, is_admin=True)
        finally:
            await connection.close()
    except AWAY as error:
        raise PlatformAwayError(f"PostgreSQL cannot serve now ({type(error).__name__})") from error
    return f"{gateway_url}/?code={quote(code, safe='')}"
