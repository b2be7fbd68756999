-- Roles with least rights, and Supabase's names where they do not exist.
-- `:schema` is the schema of our tables, `:owner` the role that migrates; both arrive quoted.

do $$
declare
  wanted text;
begin
  foreach wanted in array array[
    'anon', 'authenticated', 'service_role', 'headrace_gateway', 'headrace_scheduler', 'headrace_fetcher', 'headrace_writer'
  ] loop
    begin
      if not exists (select from pg_roles where rolname = wanted) then
        execute format('create role %I nologin noinherit', wanted);
      end if;
    exception when duplicate_object or unique_violation then
      null; -- another database of this cluster migrates at the same moment
    end;
  end loop;
  -- Services connect as the migrating role (or another member) and become their own role at once.
  foreach wanted in array array[
    'authenticated', 'headrace_gateway', 'headrace_scheduler', 'headrace_fetcher', 'headrace_writer'
  ] loop
    if not pg_has_role(current_user, wanted, 'member') then
      execute format('grant %I to %I', wanted, current_user);
    end if;
  end loop;
end $$;

create schema if not exists auth;

do $$
begin
  -- On Supabase these exist and stay untouched.
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as $f$
      select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid
    $f$;
    grant usage on schema auth to anon, authenticated, service_role;
    grant execute on function auth.uid() to anon, authenticated, service_role;
  end if;
end $$;

grant usage on schema :schema to anon, authenticated, service_role,
  headrace_gateway, headrace_scheduler, headrace_fetcher, headrace_writer;

-- The tenant a worker's transaction is bound to; null (so: no rows) when it is bound to none.
create function :schema.headrace_tenant() returns uuid language sql stable set search_path = '' as $$
  select nullif(current_setting('headrace.tenant', true), '')::uuid
$$;
revoke execute on function :schema.headrace_tenant() from public;
grant execute on function :schema.headrace_tenant() to headrace_gateway, headrace_fetcher, headrace_writer;
