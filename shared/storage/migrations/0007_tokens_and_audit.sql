-- Tokens of machines, and who did what.

-- Of a token only a hash is kept; the prefix finds the row, the hash proves the rest.
create table :schema.api_tokens (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  prefix text not null unique check (prefix ~ '^[a-z0-9]{12}$'),
  secret_hash bytea not null check (length(secret_hash) = 32),
  scopes text[] not null check (scopes <@ array['read', 'sync', 'write', 'admin'] and cardinality(scopes) > 0),
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);
create index api_tokens_user on :schema.api_tokens (user_id, created_at desc, id desc);

-- Append-only: nobody who serves users may change or remove an entry, the migrating owner through a trigger neither.
create table :schema.audit_log (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,                                -- whose data it concerns
  at timestamptz not null default clock_timestamp(),
  actor text not null check (actor in ('user', 'token', 'webhook', 'operator')),
  actor_id text not null,
  action text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
  object_type text not null,
  object_id text not null,
  details jsonb not null default '{}'
);
create index audit_log_user on :schema.audit_log (user_id, at desc, id desc);

create function :schema.refuse_change() returns trigger language plpgsql set search_path = '' as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete on :schema.audit_log
  for each row execute function :schema.refuse_change();
create trigger append_only_whole before truncate on :schema.audit_log
  for each statement execute function :schema.refuse_change();

do $$
declare
  t text;
begin
  foreach t in array array['api_tokens', 'audit_log'] loop
    execute format('alter table :schema.%I enable row level security, force row level security', t);
    execute format('revoke all on :schema.%I from public, anon, authenticated', t);
    execute format('create policy service on :schema.%I to service_role using (true) with check (true)', t);
    execute format('create policy owner on :schema.%I to :owner using (true) with check (true)', t);
    execute format(
      'create policy tenant on :schema.%I to headrace_gateway '
      'using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()))', t);
    execute format(
      'create policy own on :schema.%I for select to authenticated using (user_id = (select auth.uid()))', t);
  end loop;
end $$;
grant select, insert on :schema.audit_log to service_role, headrace_gateway;
grant select on :schema.audit_log to authenticated;
grant select, insert, update, delete on :schema.api_tokens to service_role;
grant select (id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at) on :schema.api_tokens
  to authenticated, headrace_gateway;
grant insert (id, user_id, name, prefix, secret_hash, scopes, expires_at) on :schema.api_tokens to headrace_gateway;
grant update (revoked_at) on :schema.api_tokens to headrace_gateway;

-- Who a token is, before any tenant is known: one row by its prefix, and only one that still counts.
create function :schema.headrace_find_token(wanted text)
returns table (id uuid, user_id uuid, secret_hash bytea, scopes text[], expires_at timestamptz)
language sql stable security definer set search_path = '' as $$
  select t.id, t.user_id, t.secret_hash, t.scopes, t.expires_at from :schema.api_tokens t
  where t.prefix = wanted and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
$$;
create function :schema.headrace_token_used(wanted uuid) returns void
language sql security definer set search_path = '' as $$
  update :schema.api_tokens t set last_used_at = now()
  where t.id = wanted and (t.last_used_at is null or t.last_used_at < now() - interval '1 minute')
$$;
revoke execute on function :schema.headrace_find_token(text), :schema.headrace_token_used(uuid) from public;
grant execute on function :schema.headrace_find_token(text), :schema.headrace_token_used(uuid) to headrace_gateway;
