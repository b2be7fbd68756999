"""Two tenants' data in one database, and everybody who could reach for the other's: the database refuses."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from test_json_api_run import MAPPING, inventory_config

from pipeline import Pipeline
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.contracts.ids import UserId

TENANT_TABLES = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attname = 'user_id' and not a.attisdropped order by 1
"""
FILLED = {
    "external_data_sources", "inventory", "sync_runs", "sync_run_entities", "sync_pages", "sync_batches", "audit_log",
    "api_tokens", "quarantined_records", "dead_letters", "webhook_events", "sync_cursors", "idempotency_keys",
}  # fmt: skip
"""Tables that must hold rows of both, or the test proves nothing about them."""
BOUND = ("headrace_gateway", "headrace_fetcher", "headrace_writer")


async def fill(pipeline: Pipeline, base: str, user_id: UserId) -> None:
    """A synced source, and a row of whatever a sync alone leaves empty."""
    source_id = await pipeline.add_source(inventory_config(base), field_mappings=MAPPING, user_id=user_id)
    run = await pipeline.sync(source_id)
    assert run.status == "succeeded"
    admin = pipeline.admin
    await admin.execute(
        "insert into quarantined_records (run_id, entity, page_no, batch_no, user_id, source_id, reason, raw, "
        "mapping_version) values ($1, 'inventory', 1, 0, $2, $3, 'no', '{}', 1)",
        run.id, user_id, source_id,
    )  # fmt: skip
    await admin.execute(
        "insert into api_tokens (user_id, name, prefix, secret_hash, scopes) "
        "values ($1, 'x', $2, decode(repeat('00', 32), 'hex'), '{read}')",
        user_id, uuid4().hex[:12],
    )  # fmt: skip
    await admin.execute(
        "insert into audit_log (user_id, actor, actor_id, action, object_type, object_id) "
        "values ($1, 'user', 'x', 'source.created', 'source', 'x')",
        user_id,
    )
    await admin.execute(
        "insert into webhook_events (user_id, source_id, entity, op) values ($1, $2, 'inventory', 'upsert')",
        user_id, source_id,
    )  # fmt: skip
    await admin.execute(
        "insert into sync_cursors (source_id, entity, user_id, changed_until) values ($1, 'inventory', $2, now()) "
        "on conflict do nothing",
        source_id, user_id,
    )  # fmt: skip
    await admin.execute(
        "insert into idempotency_keys (user_id, key, request_hash) values ($1, 'k', decode(repeat('00', 32), 'hex'))",
        user_id,
    )
    await admin.execute(
        "insert into dead_letters (user_id, run_id, entity, queue, kind, category, reason, body) "
        "values ($1, $2, 'inventory', 'write', 'page.transformed', 'INTERNAL_ERROR', 'x', '\\x00')",
        user_id, run.id,
    )  # fmt: skip


@asynccontextmanager
async def acting(pipeline: Pipeline, role: str, user_id: UserId) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A transaction as this role would have it on behalf of `user_id`; undone at the end."""
    async with pipeline.admin.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            claims = json.dumps({"sub": str(user_id), "role": role})
            await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
            await connection.execute("select set_config('headrace.tenant', $1, true)", str(user_id))
            await connection.execute(f"set local role {role}")
            yield connection  # type: ignore[misc] # a pool's proxy of one
        finally:
            await transaction.rollback()


async def rows_reached(connection: "asyncpg.Connection[Any]", statement: str, victim: UserId) -> int:
    """Rows that the statement returned or changed; -1 when the database refused it, by right, policy or constraint."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        return len(await connection.fetch(statement, victim))
    except (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError):
        return -1
    finally:
        await savepoint.rollback()


@pytest.mark.parametrize("role", ["anon", "authenticated", *BOUND])
async def test_nobody_reaches_another_tenants_rows(pipeline: Pipeline, role: str) -> None:
    victim, thief = UserId(uuid4()), UserId(uuid4())
    async with running(build_app(JsonApiState.northwind())) as base:
        for user in (victim, thief):
            await fill(pipeline, base, user)
    tables = [row["relname"] for row in await pipeline.admin.fetch(TENANT_TABLES)]
    assert set(tables) >= FILLED
    for table in FILLED:
        assert await pipeline.admin.fetchval(f"select count(*) from {table} where user_id = $1", victim) > 0, table

    leaks: list[tuple[str, str, int]] = []
    seen = 0
    async with acting(pipeline, role, thief) as connection:
        for table in tables:
            for statement in (
                f"select user_id from {table} where user_id = $1",
                f"update {table} set user_id = user_id where user_id = $1 returning user_id",
                f"delete from {table} where user_id = $1 returning user_id",
                f"insert into {table} overriding system value select * from {table} where user_id = $1 returning 1",
                f"insert into {table} (user_id) values ($1) returning user_id",
            ):
                reached = await rows_reached(connection, statement, victim)
                if reached > 0 and not (table == "outbox" and not statement.startswith("insert")):
                    leaks.append((table, statement, reached))
            own = await rows_reached(connection, f"select user_id from {table} where user_id = $1", thief)
            seen += max(own, 0)
    assert leaks == []
    assert (seen > 0) == (role != "anon"), "a role that sees nothing at all proves nothing"


async def test_a_worker_with_a_bug_is_refused(pipeline: Pipeline) -> None:
    """It handles its own tenant's run, and asks for and writes to another's."""
    victim, thief = UserId(uuid4()), UserId(uuid4())
    async with running(build_app(JsonApiState.northwind())) as base:
        for user in (victim, thief):
            await fill(pipeline, base, user)
    run = await pipeline.admin.fetchval("select id from sync_runs where user_id = $1", thief)
    source = await pipeline.admin.fetchval("select id from external_data_sources where user_id = $1", victim)
    for service in ("fetcher", "writer"):
        async with pipeline.databases[service].for_run(run) as (conn, _):
            assert await conn.fetchval("select count(*) from sync_runs where user_id = $1", victim) == 0
    async with pipeline.databases["fetcher"].for_run(run) as (conn, _):
        assert await conn.fetchval("select get_external_source_credentials($1)", source) is None
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with pipeline.databases["writer"].for_run(run) as (conn, _):
            await conn.execute(
                "insert into vendors (user_id, source_id, source_system, external_id, name) "
                "values ($1, $2, 'json_api', 'planted', 'planted')",
                victim, source,
            )  # fmt: skip
    async with pipeline.databases["writer"].for_run(run) as (conn, _):
        changed = await conn.execute("update inventory set name = 'planted' where source_id = $1", source)
    assert changed == "UPDATE 0"
