"""Every table and function of the schema, as the catalogue lists them: a new one cannot forget to be guarded."""

import re

import asyncpg
import pytest
from core_rig import Core

from shared.storage.migrate import OUR_TABLES, migrate

TABLES = """
select c.oid, c.relname as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p') order by 2
"""
POLICIES = """
select tablename, policyname, roles::text[] as roles, cmd, qual, with_check from pg_policies where schemaname = 'public'
"""
FUNCTIONS = """
select p.oid::regprocedure::text as name, p.prosecdef as definer, p.proconfig as settings,
  p.prorettype = 'trigger'::regtype as trigger,
  (select array_agg(case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
   from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.privilege_type = 'EXECUTE') as callers
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' order by 1
"""
UNSEALED = {"anon", "authenticated", "public"}
"""Roles of the outside world."""


async def test_every_table_has_row_level_security_on_and_forced(core: Core) -> None:
    tables = await core.admin.fetch(TABLES)
    assert len(tables) > 20
    assert [table["name"] for table in tables if not (table["enabled"] and table["forced"])] == []


async def test_the_names_that_a_migration_looks_out_for_are_those_it_creates(core: Core) -> None:
    tables = {table["name"] for table in await core.admin.fetch(TABLES)}
    assert tables - {"headrace_migrations"} == set(OUR_TABLES)


async def test_every_policy_names_its_roles_and_asks_who_calls_once(core: Core) -> None:
    policies = await core.admin.fetch(POLICIES)
    assert policies
    for policy in policies:
        place = f"{policy['tablename']}.{policy['policyname']}"
        assert "public" not in policy["roles"], place
        if policy["cmd"] in ("INSERT", "ALL"):
            assert policy["with_check"] is not None, place
        for text in filter(None, (policy["qual"], policy["with_check"])):
            # Called bare, the function runs for each row.
            assert len(re.findall(r"auth\.uid\(\)|headrace_tenant\(\)", text)) == len(
                re.findall(r"SELECT (?:auth\.uid\(\)|\S*headrace_tenant\(\))", text)
            ), place


async def test_outside_roles_may_only_look_and_never_at_credentials(core: Core) -> None:
    granted = await core.admin.fetch(
        "select distinct table_name, privilege_type, grantee from information_schema.role_table_grants "
        "where table_schema = 'public' and grantee in ('anon', 'authenticated', 'PUBLIC')"
    )
    assert {row["privilege_type"] for row in granted} <= {"SELECT"}
    columns = await core.admin.fetch(
        "select table_name, column_name, privilege_type from information_schema.role_column_grants "
        "where table_schema = 'public' and grantee in ('anon', 'authenticated', 'PUBLIC')"
    )
    shown = {(row["table_name"], row["column_name"]) for row in columns}
    assert {row["privilege_type"] for row in columns} == {"SELECT"}
    for secret in [
        ("external_data_sources", "credentials"),
        ("api_tokens", "secret_hash"),
        ("webhook_secrets", "box"),
        ("connection_probes", "credentials"),
    ]:
        assert secret not in shown


async def test_no_role_of_ours_passes_by_the_policies(core: Core) -> None:
    roles = await core.admin.fetch(
        "select rolname, rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname like 'headrace\\_%'"
    )
    assert len(roles) >= 4
    assert [row["rolname"] for row in roles if row["rolsuper"] or row["rolbypassrls"] or row["rolcanlogin"]] == []


async def test_every_function_has_a_fixed_path_and_named_callers(core: Core) -> None:
    for function in await core.admin.fetch(FUNCTIONS):
        name = function["name"]
        assert any(setting.startswith("search_path=") for setting in function["settings"] or ()), name
        if function["definer"] or not function["trigger"]:
            assert not UNSEALED & set(function["callers"]), name


@pytest.mark.parametrize("role", ["anon", "authenticated", "headrace_gateway", "headrace_writer", "headrace_scheduler"])
async def test_sealed_credentials_are_the_services_alone(core: Core, role: str) -> None:
    source = await core.source()
    async with core.admin.acquire() as connection, connection.transaction():
        await connection.execute(f"set local role {role}")
        with pytest.raises(Exception, match="permission denied"):
            await connection.fetchval("select get_external_source_credentials($1)", source)


async def test_a_missing_role_reads_no_credentials_either(core: Core) -> None:
    source = await core.source()
    with pytest.raises(Exception, match="only the service may read credentials"):
        await core.admin.fetchval("select get_external_source_credentials($1)", source)


async def test_a_platform_that_grants_all_new_functions_to_everybody_is_undone(empty_database_url: str) -> None:
    """As Supabase prepares a project's schema."""
    admin = await asyncpg.connect(empty_database_url)
    try:
        for role in ("anon", "authenticated", "service_role"):
            if not await admin.fetchval("select exists (select from pg_roles where rolname = $1)", role):
                await admin.execute(f"create role {role} nologin")
        await admin.execute(
            "alter default privileges in schema public grant all on functions to anon, authenticated, service_role"
        )
        for _ in range(2):
            await migrate(empty_database_url)
        reached = {
            function["name"].split("(")[0]: {"anon", "authenticated", "service_role", "public"}
            & set(function["callers"])
            for function in await admin.fetch(FUNCTIONS)
        }
    finally:
        await admin.close()
    assert {name: callers for name, callers in reached.items() if callers} == {
        "get_external_source_credentials": {"service_role"},
        "increment_rate_limit": {"service_role"},
        "update_sync_status": {"service_role"},
    }
