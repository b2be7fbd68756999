"""A pool of one role's connections, and transactions bound to a tenant. The only way services reach Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.contracts.ids import RunId, UserId
from shared.contracts.messages import decode_json, encode_json
from shared.errors import PlatformAwayError, StartupError
from shared.storage.rows import RunHead, run_head

if TYPE_CHECKING:  # the class takes its parameter in the stubs alone
    Connection = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = PoolConnectionProxy
Record = asyncpg.Record

AWAY: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.OperatorInterventionError,  # shutdown, crash recovery, cancelled statement
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.TransactionRollbackError,  # deadlock, serialisation: the same transaction may pass next time
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.InternalClientError,
    OSError,
    TimeoutError,
)
"""What means that the database cannot serve now: the caller pauses and tries the same again."""


async def _init(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind,
            encoder=lambda value: encode_json(value).decode(),
            decoder=decode_json,
            schema="pg_catalog",
        )


async def _keep(_connection: asyncpg.Connection) -> None:
    """Every setting of ours ends with its transaction, so a returned connection needs no reset (a round trip)."""


class Database:
    """Transactions of one role. Every statement runs inside one; nothing of the session outlives it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction bound to no tenant. Raises PlatformAwayError when Postgres cannot serve now."""
        try:
            async with self._pool.acquire(timeout=10) as connection, connection.transaction():
                yield connection
        except AWAY as error:
            raise PlatformAwayError(f"PostgreSQL cannot serve now ({type(error).__name__})") from error

    async def fetch(self, statement: str, *arguments: object) -> list[Record]:
        """One statement that binds itself or needs no tenant, a transaction of its own: one round trip, not three.

        Raises PlatformAwayError when Postgres cannot serve now.
        """
        try:
            async with self._pool.acquire(timeout=10) as connection:
                return await connection.fetch(statement, *arguments)
        except AWAY as error:
            raise PlatformAwayError(f"PostgreSQL cannot serve now ({type(error).__name__})") from error

    @asynccontextmanager
    async def for_run(self, run_id: RunId) -> AsyncIterator[tuple[Connection, RunHead | None]]:
        """A transaction bound to the tenant of the run row; None when there is no such run."""
        async with self.transaction() as connection:
            row = await connection.fetchrow("select * from headrace_bind_run($1)", run_id)
            yield connection, None if row is None else run_head(row)

    @asynccontextmanager
    async def for_tenant(self, user_id: UserId) -> AsyncIterator[Connection]:
        """A transaction on behalf of a user: whom the gateway authenticated, or who owns the source that is read."""
        async with self.transaction() as connection:
            await connection.execute("select set_config('headrace.tenant', $1, true)", str(user_id))
            yield connection

    @asynccontextmanager
    async def as_user(self, user_id: UserId) -> AsyncIterator[Connection]:
        """A transaction under the user's own row-level security: role `authenticated`, as Supabase would run it."""
        async with self.transaction() as connection:
            claims = encode_json({"sub": str(user_id), "role": "authenticated"}).decode()
            await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
            await connection.execute("set local role authenticated")
            yield connection

    async def ping(self) -> bool:
        """True while Postgres answers."""
        try:
            async with self.transaction() as connection:
                await connection.fetchval("select 1")
        except PlatformAwayError:
            return False
        return True


@asynccontextmanager
async def open_database(
    dsn: str, *, role: str, schema: str = "public", application: str = "headrace", max_size: int = 5
) -> AsyncIterator[Database]:
    """Connections that became `role` at once.

    Raises PlatformAwayError when the server cannot be reached, StartupError when something on the way (a pooler that
    ignores start-up parameters) kept the connection from becoming it: it would be past its rights.
    """

    async def init(connection: asyncpg.Connection) -> None:
        await _init(connection)
        acting = await connection.fetchval("select current_user")
        if acting != role:
            raise StartupError(
                f"PostgreSQL connections act as {acting}, not as {role}",
                hint="Connect directly or in session mode; a pooler must not ignore the start-up parameter `role`.",
            )

    settings: dict[str, Any] = {
        "role": role,
        "search_path": f'"{schema}", pg_temp',
        "application_name": application,
        "timezone": "UTC",
        "statement_timeout": "300s",
        "lock_timeout": "60s",
        "idle_in_transaction_session_timeout": "120s",
    }
    try:
        pool = await asyncpg.create_pool(
            dsn, min_size=1, max_size=max_size, server_settings=settings, init=init, reset=_keep, command_timeout=330
        )
    except AWAY as error:
        raise PlatformAwayError(f"PostgreSQL cannot be reached ({type(error).__name__})") from error
    try:
        yield Database(pool)
    finally:
        await pool.close()
