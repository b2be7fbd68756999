"""Who runs the deployment: where a policy says so, its transaction sees what is any tenant's or nobody's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contracts.ids import UserId
from shared.storage.database import Connection
from shared.storage.queries import load_queries

_SQL = load_queries("shared.storage", "operators.sql")


async def act_as_operator(conn: Connection) -> None:
    """Until the transaction ends. The caller has proven that an administrator asks."""
    await conn.execute(_SQL["act"])


@asynccontextmanager
async def on_behalf_of(conn: Connection, tenant: UserId, *, operator: UserId) -> AsyncIterator[None]:
    """Bind the transaction to a tenant for one piece of work; then it is the operator's own again."""
    await conn.execute(_SQL["bind"], str(tenant))
    yield
    await conn.execute(_SQL["bind"], str(operator))  # after an error the transaction is undone, and the binding with it
