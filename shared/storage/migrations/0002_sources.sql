create table :schema.external_data_sources (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_type text not null,
  display_name text not null check (length(display_name) between 1 and 200),
  description text check (length(description) <= 2000),
  config jsonb not null default '{}',
  credentials jsonb,                                   -- sealed; null once erased
  credentials_set text[] not null default '{}',        -- the names alone, for showing
  field_mappings jsonb not null default '{}',
  mapping_version integer not null default 1,
  entities text[] not null,
  sync_enabled boolean not null default true,
  sync_frequency text not null default 'hourly',
  full_sync_every text,
  cache_ttl_seconds integer not null default 3600 check (cache_ttl_seconds between 0 and 2592000),
  rate_limit jsonb not null default '{}',
  sync_status text not null default 'never_synced'
    check (sync_status in ('never_synced', 'syncing', 'success', 'partial', 'failed', 'paused')),
  sync_error text,
  paused_at timestamptz,
  last_sync_at timestamptz,                            -- last success
  last_attempt_at timestamptz,
  last_sync_duration_ms integer,
  next_sync_at timestamptz,
  run_seq bigint not null default 0,                   -- of the newest run that started: the fence
  requests_this_minute integer not null default 0,
  requests_this_hour integer not null default 0,
  last_request_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  is_deleted boolean not null default false,
  unique (id, user_id)
);
create index external_data_sources_user on :schema.external_data_sources (user_id) where not is_deleted;
create index external_data_sources_due on :schema.external_data_sources (next_sync_at)
  where not is_deleted and sync_enabled and paused_at is null;

-- Where the next incremental read of an entity starts.
create table :schema.sync_cursors (
  source_id uuid not null,
  entity text not null,
  user_id uuid not null,
  changed_until timestamptz not null,
  last_full_at timestamptz,
  primary key (source_id, entity),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);

-- A source's sealed credentials for a connection test; short-lived, removed by whoever answers, else by retention.
create table :schema.connection_probes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_type text not null,
  config jsonb not null,
  credentials jsonb not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '2 minutes'
);

-- Calls per upstream account and minute: what the limiter is told when Redis has forgotten. Holds no tenant's data.
create table :schema.upstream_calls (
  scope text not null,
  minute timestamptz not null,
  calls integer not null,
  primary key (scope, minute)
);

create function :schema.touch_updated_at() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end $$;
create trigger touch before update on :schema.external_data_sources
  for each row when (new.config is distinct from old.config or new.field_mappings is distinct from old.field_mappings
    or new.display_name is distinct from old.display_name or new.sync_frequency is distinct from old.sync_frequency
    or new.sync_enabled is distinct from old.sync_enabled or new.credentials is distinct from old.credentials
    or new.rate_limit is distinct from old.rate_limit or new.is_deleted is distinct from old.is_deleted)
  execute function :schema.touch_updated_at();

create function :schema.get_external_source_credentials(source_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  claimed text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role';
  acting text := nullif(current_setting('role', true), 'none');
  sealed jsonb;
begin
  -- security definer: current_user is the owner here, so the caller is known by its claim or by SET ROLE.
  if coalesce(claimed, acting, '') not in ('service_role', 'headrace_fetcher') then
    raise exception 'only the service may read credentials' using errcode = 'insufficient_privilege';
  end if;
  select s.credentials into sealed from :schema.external_data_sources s
    where s.id = get_external_source_credentials.source_id and not s.is_deleted
      and (coalesce(acting, '') <> 'headrace_fetcher' or s.user_id = nullif(current_setting('headrace.tenant', true), '')::uuid);
  return sealed;
end $$;

create function :schema.increment_rate_limit(source_id uuid, calls integer default 1) returns void
language sql security definer set search_path = '' as $$
  -- Fixed windows: a counter restarts when the clock's minute or hour does, whatever the traffic.
  update :schema.external_data_sources s set
    requests_this_minute = calls + case when date_trunc('minute', s.last_request_at) = date_trunc('minute', now())
      then s.requests_this_minute else 0 end,
    requests_this_hour = calls + case when date_trunc('hour', s.last_request_at) = date_trunc('hour', now())
      then s.requests_this_hour else 0 end,
    last_request_at = now()
  where s.id = increment_rate_limit.source_id
    and (coalesce(nullif(current_setting('role', true), 'none'), '') <> 'headrace_fetcher'
      or s.user_id = nullif(current_setting('headrace.tenant', true), '')::uuid);
$$;

create function :schema.update_sync_status(source_id uuid, status text, error text default null, duration_ms integer default null)
returns void language sql security definer set search_path = '' as $$
  update :schema.external_data_sources s set
    sync_status = case when s.paused_at is not null and update_sync_status.status <> 'syncing' then 'paused'
      else update_sync_status.status end,
    sync_error = update_sync_status.error,
    last_sync_duration_ms = coalesce(update_sync_status.duration_ms, s.last_sync_duration_ms),
    last_sync_at = case when update_sync_status.status = 'success' then now() else s.last_sync_at end,
    last_attempt_at = now()
  where s.id = update_sync_status.source_id
    and (coalesce(nullif(current_setting('role', true), 'none'), '') not like 'headrace_%'
      or nullif(current_setting('role', true), 'none') = 'headrace_scheduler'
      or s.user_id = nullif(current_setting('headrace.tenant', true), '')::uuid);
$$;

revoke execute on function :schema.get_external_source_credentials(uuid), :schema.increment_rate_limit(uuid, integer),
  :schema.update_sync_status(uuid, text, text, integer) from public;
grant execute on function :schema.get_external_source_credentials(uuid) to service_role, headrace_fetcher;
grant execute on function :schema.increment_rate_limit(uuid, integer) to service_role, headrace_fetcher;
grant execute on function :schema.update_sync_status(uuid, text, text, integer)
  to service_role, headrace_fetcher, headrace_writer, headrace_scheduler, headrace_gateway;
