"""Applies the numbered migrations: one transaction, one lock, safe to run twice and at once."""

import re
from importlib import resources

import asyncpg

from shared.errors import PlatformAwayError, StartupError

OUR_TABLES = (
    "external_data_sources", "sync_cursors", "connection_probes", "upstream_calls", "sync_runs", "sync_run_entities",
    "sync_pages", "sync_batches", "sync_keys_seen", "sync_key_packs", "sync_misses", "outbox", "dead_letters",
    "quarantined_records", "inventory", "vendors", "purchase_orders", "purchase_order_lines", "idempotency_keys",
    "api_tokens", "audit_log", "webhook_secrets", "webhook_deliveries", "webhook_events", "sign_in_codes",
    "sealing_keys", "oauth_grants", "oauth_states", "oauth_codes", "cache_purges", "read_meters",
    "ended_sessions",
)  # fmt: skip
"""What the migrations create, beside their own record: names that must be free."""
_LOCK = 7_236_411_947
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


async def migrate(dsn: str, schema: str = "public") -> list[str]:
    """Bring the schema up to date; returns the names applied now.

    Raises StartupError when tables of the same name exist that are not ours: then nothing is changed.
    """
    if not _SCHEMA_NAME.fullmatch(schema):
        raise StartupError("HEADRACE_SCHEMA: a lower-case SQL identifier is needed")
    for attempt in range(5):
        try:
            connection = await asyncpg.connect(dsn, timeout=30)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise PlatformAwayError(f"PostgreSQL cannot be reached ({type(error).__name__})") from error
        try:
            async with connection.transaction():
                return await _apply(connection, schema)
        except asyncpg.exceptions.InternalServerError:
            # "tuple concurrently updated": another database of the cluster grants the same shared role right now
            if attempt == 4:
                raise
        finally:
            await connection.close()
    raise AssertionError("unreachable")


async def _apply(connection: asyncpg.Connection, schema: str) -> list[str]:
    await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
    quoted = _quote(schema)
    await connection.execute(f"create schema if not exists {quoted}")
    ledger = f"{quoted}.headrace_migrations"
    if await connection.fetchval("select to_regclass($1)", ledger) is None:
        foreign = await connection.fetch(
            "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname = $1 and relname = any($2::text[]) order by relname",
            schema,
            list(OUR_TABLES),
        )
        if foreign:
            names = ", ".join(row["relname"] for row in foreign)
            raise StartupError(
                f"schema {schema} has tables of the same name that are not Headrace's: {names}; nothing was changed",
                hint="Set HEADRACE_SCHEMA to another schema, for example HEADRACE_SCHEMA=headrace, and migrate again.",
            )
        await connection.execute(
            f"create table {ledger} (name text primary key, applied_at timestamptz not null default now());"
            f"alter table {ledger} enable row level security, force row level security;"
            f"create policy owner on {ledger} to current_user using (true) with check (true);"
            f"revoke all on {ledger} from public"
        )
    done = {row["name"] for row in await connection.fetch(f"select name from {ledger}")}  # noqa: S608 - a quoted identifier, checked above
    owner = _quote(await connection.fetchval("select current_user"))
    applied = []
    files = resources.files("shared.storage").joinpath("migrations")
    for file in sorted(
        (entry for entry in files.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    ):
        if file.name in done:
            continue
        text = file.read_text("utf-8").replace(":schema", quoted).replace(":owner", owner)
        await connection.execute(text)
        await connection.execute(f"insert into {ledger} (name) values ($1)", file.name)  # noqa: S608 - as above
        applied.append(file.name)
    guards = resources.files("shared.storage").joinpath("guards.sql").read_text("utf-8")
    await connection.execute(guards.replace(":schema_text", f"'{schema}'").replace(":schema", quoted))
    return applied
