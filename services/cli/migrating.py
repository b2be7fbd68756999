"""Migrations as the commands run them: every way they can fail is one clear sentence."""

import asyncio

import asyncpg

from shared.errors import HeadraceError, PlatformAwayError, StartupError
from shared.observability.logging import get_logger
from shared.runtime.resources import PlatformSettings
from shared.storage.migrate import migrate

PATIENCE = 45.0
"""Seconds in which `up` waits for a PostgreSQL that starts at the same time as we do."""

_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


async def migrate_now(settings: PlatformSettings) -> list[str]:
    """The names applied now. Raises StartupError for what a person must change, PlatformAwayError when it is away."""
    dsn = settings.require("database_url")
    try:
        return await migrate(dsn, settings.schema_name)
    except PlatformAwayError as error:
        raise _explained(error) from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartupError(
            f"The database user may not migrate: {error}",
            hint="HEADRACE_DATABASE_URL must name a user that may create roles and schemas.",
        ) from None
    except ValueError:  # asyncpg's word for an address it cannot read; its message may quote the password
        raise StartupError(
            "HEADRACE_DATABASE_URL is not a PostgreSQL address",
            hint="It looks like postgresql://user:password@host:5432/database.",
        ) from None


async def migrate_patiently(settings: PlatformSettings, *, patience: float = PATIENCE) -> list[str]:
    """The same, but a server that is away is waited for, up to `patience` seconds."""
    log = get_logger("migrate")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            return await migrate_now(settings)
        except PlatformAwayError as error:
            if loop.time() > deadline:
                raise
            log.warning("postgresql_away", reason=error.message)
        await asyncio.sleep(1)


def _explained(error: PlatformAwayError) -> HeadraceError:
    """A server that answers and refuses us will refuse us again: that is a setting."""
    if isinstance(error.__cause__, _REFUSED):
        return StartupError(f"HEADRACE_DATABASE_URL: PostgreSQL refuses it: {error.__cause__}")
    return PlatformAwayError(error.message, hint="Is HEADRACE_DATABASE_URL right, and is the server running?")
