"""Two tenants with data in every corner, and what the tables hold of either."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg
from core_rig import Core, item, opened_core, order, reject
from gateway_harness import TWO_ENTITIES, Gateway, User

from shared.contracts.ids import SourceId, UserId

_TABLES = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
  and a.attname = 'user_id' and not a.attisdropped order by 1
"""
_UUIDS = """
select c.relname, a.attname from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid
where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and a.attname = 'id'
  and a.atttypid = 'uuid'::regtype
"""

Dump = Mapping[str, str]


@dataclass(frozen=True)
class Tenant:
    """`ids`: what others could name, the names as paths and bodies use them. `words`: what nobody else may read."""

    user: User
    ids: Mapping[str, str]
    words: frozenset[str]

    def seen_in(self, text: str) -> list[str]:
        """The tenant's own words in somebody's answer."""
        return [word for word in self.words if word in text]


@asynccontextmanager
async def furnished(gateway: Gateway, database_url: str) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """A victim and another tenant, each with sources, runs, rows, tokens, webhooks and what went wrong."""
    async with opened_core(database_url) as core:
        yield await _furnish(gateway, core, "canary-of-the-victim"), await _furnish(gateway, core, "word-of-the-other")


async def _furnish(gateway: Gateway, core: Core, word: str) -> Tenant:
    user = gateway.user()
    own = replace(core, user_id=UserId(user.id))
    source = await user.add_source(display_name=word, description=word, config=TWO_ENTITIES)
    source_id = SourceId(source["id"])
    token = await user.post("/api/tokens", {"name": word})
    assert token.status == 201, token.text
    secret = await user.post(f"/api/sources/{source_id}/webhook-secret")
    run_id = await own.running(source_id, "inventory", user_id=own.user_id)
    await own.read(run_id, [item("A", sku=word, extra={"raw": word})], rejects=[reject("B", word)])
    await own.sync(await own.source(own.user_id), [item("V", entity="vendors", notes=word)], entity="vendors")
    await own.sync(await own.source(own.user_id), [order("P", [{"sku": word}], notes=word)], entity="purchase_orders")
    await own.admin.execute(
        "insert into dead_letters (user_id, run_id, source_id, entity, queue, kind, category, reason, body) "
        "values ($1, $2, $3, 'inventory', 'write', 'page.transformed', 'INTERNAL_ERROR', $4, convert_to($4, 'UTF8'))",
        user.id, run_id, source_id, word,
    )  # fmt: skip
    await own.admin.execute(
        "insert into webhook_events (user_id, source_id, entity, external_id, op) "
        "values ($1, $2, 'inventory', $3, 'upsert')",
        user.id, source_id, word,
    )  # fmt: skip
    active = await user.post(f"/api/sources/{source_id}/sync", {"entities": ["inventory"]}, Idempotency_Key=word)
    assert active.status == 202, active.text
    found = await _ids(own.admin, user.id)
    ids = {f"{table}.{number}": each for table, all_of in found.items() for number, each in enumerate(all_of[:3])}
    ids |= {
        "source_id": str(source_id),
        "run_id": str(run_id),
        "token_id": token.body["id"],
        "letter_id": found["dead_letters"][0],
        "client_id": str(uuid4()),
    }
    every = {each for all_of in found.values() for each in all_of}
    return Tenant(user, ids, frozenset(every | {word, str(user.id), secret.body["secret"], token.body["token"]}))


async def _ids(admin: "asyncpg.Pool[asyncpg.Record]", user_id: Any) -> dict[str, list[str]]:
    """Every UUID that names a row of the user's, by table."""
    tables = {row["relname"] for row in await admin.fetch(_TABLES)}
    found: dict[str, list[str]] = {}
    for row in await admin.fetch(_UUIDS):
        if row["relname"] in tables:
            listed = await admin.fetch(f"select id from {row['relname']} where user_id = $1 order by id", user_id)
            found[row["relname"]] = [str(each["id"]) for each in listed]
    return found


async def dump(admin: "asyncpg.Pool[asyncpg.Record]", user: User, without: frozenset[str] = frozenset()) -> Dump:
    """All rows of the user's, by table, every column as text; columns named in `without` are left out."""
    tables = [row["relname"] for row in await admin.fetch(_TABLES)]
    found = {}
    for table in tables:
        found[table] = await admin.fetchval(
            "select coalesce(string_agg(line, E'\\n' order by line), '') "
            f"from (select (to_jsonb(t) - $2::text[])::text as line from {table} t where user_id = $1) as lines",
            user.id, sorted(without),
        )  # fmt: skip
    return found


FILLED = {
    "api_tokens", "audit_log", "dead_letters", "external_data_sources", "idempotency_keys", "inventory",
    "purchase_order_lines", "purchase_orders", "quarantined_records", "sync_batches", "sync_pages", "sync_run_entities",
    "sync_runs", "vendors", "webhook_events", "webhook_secrets",
}  # fmt: skip
"""Tables of which both must hold rows, or a matrix proves nothing about them."""
