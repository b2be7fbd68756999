"""What `doctor` and `keys check` ask the database, as the user of HEADRACE_DATABASE_URL."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import NamedTuple

import asyncpg

from shared.errors import PlatformAwayError, StartupError
from shared.runtime.resources import PlatformSettings
from shared.sealing.symmetric import kid_of_text
from shared.storage.queries import load_queries
from shared.storage.sealing_keys import InUse

_SQL = load_queries("services.cli", "inspection.sql")
_CONNECT_SECONDS = 10.0


class ServerVersion(NamedTuple):
    """`number` is 10000 times the major version and more."""

    shown: str
    number: int


class Inspection:
    """Questions to a database that may not be ours yet."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def version(self) -> ServerVersion:
        """Of PostgreSQL."""
        row = await self._connection.fetchrow(_SQL["server_version"])
        assert row is not None
        return ServerVersion(row["shown"], row["number"])

    async def pending(self) -> list[str]:
        """Migrations of this version that the schema has not seen."""
        applied: set[str] = set()
        if await self._connection.fetchval(_SQL["has_ledger"], self._schema):
            applied = {row["name"] for row in await self._connection.fetch(_SQL["applied"])}
        folder = resources.files("shared.storage").joinpath("migrations")
        ours = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
        return [name for name in ours if name not in applied]

    async def kids_in_use(self) -> Mapping[str, InUse]:
        """What is stored under each key's name. The schema is migrated."""
        rows = await self._connection.fetch(_SQL["in_use"])
        return {row["kid"]: InUse(row["boxes"], row["tokens"]) for row in rows}

    async def foreign_names(self, halves: Mapping[str, bytes]) -> list[str]:
        """Which of these names (with public halves) stand for other keys. The schema is migrated."""
        known = {row["kid"]: row["public_key"] for row in await self._connection.fetch(_SQL["halves"])}
        return sorted(kid for kid, half in halves.items() if known.get(kid, half) != half)

    async def webhook_secrets_by_kid(self) -> Mapping[str, int]:
        """How many webhook secrets are stored under each webhook key's name. The schema is migrated."""
        return Counter(kid_of_text(row["box"]) for row in await self._connection.fetch(_SQL["webhook_boxes"]))


@asynccontextmanager
async def inspecting(settings: PlatformSettings) -> AsyncIterator[Inspection]:
    """A connection for a few questions. Raises StartupError for a wrong address, PlatformAwayError without a server."""
    dsn = settings.require("database_url")
    schema = settings.schema_name.replace('"', '""')
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=_CONNECT_SECONDS,
            server_settings={"search_path": f'"{schema}"', "application_name": "headrace"},
        )
    except ValueError:  # asyncpg's word for an address it cannot read; its message may quote the password
        raise StartupError("HEADRACE_DATABASE_URL is not a PostgreSQL address") from None
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise PlatformAwayError(f"PostgreSQL cannot be reached: {str(error) or type(error).__name__}") from None
    try:
        yield Inspection(connection, settings.schema_name)
    finally:
        await connection.close()
