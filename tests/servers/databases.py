"""Databases on a running PostgreSQL, one a test."""

import asyncio
import secrets
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.storage.migrate import migrate


def at(admin_url: str, database: str) -> str:
    """The DSN of `database` on the server of `admin_url`."""
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{database}"))


def create(admin_url: str, template: str | None = None) -> str:
    """A new database with a name of its own, a copy of `template` when there is one; returns its name.

    As files: page by page through the log, which is the default, costs twice the processor time.
    """
    name = f"headrace_test_{secrets.token_hex(6)}"
    _execute(admin_url, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}" STRATEGY file_copy')
    return name


def drop(admin_url: str, name: str) -> None:
    """Drop the database, whoever is still connected."""
    _execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def migrated(admin_url: str) -> str:
    """The name of a new database with our tables."""
    name = create(admin_url)
    try:
        _run(migrate(at(admin_url, name)))
    except BaseException:
        drop(admin_url, name)
        raise
    return name


def _execute(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    _run(execute())


def _run(work: Coroutine[Any, Any, object]) -> None:
    """To its end in a thread of its own: the test's event loop, if any, is not touched."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, work).result()
