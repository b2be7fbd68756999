-- Which key a name stands for, so that a key with the same name and other bytes is caught; and sealing anew.

-- Public halves: no secret. The first fetcher, or rotation, that uses a name claims it; nobody changes a row.
create table :schema.sealing_keys (
  kid text primary key check (length(kid) between 1 and 64),
  public_key bytea not null check (length(public_key) = 32),
  first_seen_at timestamptz not null default now()
);

-- `headrace keys rotate`: sees every sealed box and the place that it is bound to, and nothing else of a tenant.
do $$
begin
  begin
    if not exists (select from pg_roles where rolname = 'headrace_keys') then
      create role headrace_keys nologin noinherit;
    end if;
  exception when duplicate_object or unique_violation then
    null; -- another database of this cluster migrates at the same moment
  end;
  if not pg_has_role(current_user, 'headrace_keys', 'member') then
    execute format('grant headrace_keys to %I', current_user);
  end if;
end $$;
grant usage on schema :schema to headrace_keys;

alter table :schema.sealing_keys enable row level security, force row level security;
revoke all on :schema.sealing_keys from public, anon, authenticated;
grant select, insert, update, delete on :schema.sealing_keys to service_role;
create policy service on :schema.sealing_keys to service_role using (true) with check (true);
create policy owner on :schema.sealing_keys to :owner using (true) with check (true);
create policy halves on :schema.sealing_keys for select to headrace_fetcher, headrace_gateway, headrace_keys using (true);
create policy claim on :schema.sealing_keys for insert to headrace_fetcher, headrace_keys with check (true);
grant select on :schema.sealing_keys to headrace_fetcher, headrace_gateway, headrace_keys;
grant insert (kid, public_key) on :schema.sealing_keys to headrace_fetcher, headrace_keys;

create policy reseal on :schema.external_data_sources to headrace_keys using (true) with check (true);
grant select (id, user_id, source_type, config, credentials), update (credentials, credentials_set)
  on :schema.external_data_sources to headrace_keys;
-- The signing secrets of webhooks too: their keys may be derived from the same ring.
create policy reseal on :schema.webhook_secrets to headrace_keys using (true) with check (true);
grant select (source_id, user_id, box), update (box) on :schema.webhook_secrets to headrace_keys;

-- Sealing anew is no change of the source: `updated_at` stays.
drop trigger touch on :schema.external_data_sources;
create trigger touch before update on :schema.external_data_sources
  for each row when (new.config is distinct from old.config or new.field_mappings is distinct from old.field_mappings
    or new.display_name is distinct from old.display_name or new.sync_frequency is distinct from old.sync_frequency
    or new.sync_enabled is distinct from old.sync_enabled or new.rate_limit is distinct from old.rate_limit
    or new.is_deleted is distinct from old.is_deleted
    or (new.credentials is distinct from old.credentials and current_user <> 'headrace_keys'))
  execute function :schema.touch_updated_at();

-- How many boxes each key's name still holds; no box.
create function :schema.headrace_kids_in_use() returns table (kid text, boxes bigint)
language sql stable security definer set search_path = '' as $$
  select coalesce(s.credentials ->> 'kid', ''), count(*) from :schema.external_data_sources s
  where s.credentials is not null and s.credentials <> 'null'::jsonb group by 1 order by 1
$$;

-- A few boxes under one name, for a fetcher that meets the name for the first time: does its key open them?
create function :schema.headrace_boxes_under(wanted text, most integer)
returns table (id uuid, user_id uuid, source_type text, config jsonb, credentials jsonb)
language sql stable security definer set search_path = '' as $$
  select s.id, s.user_id, s.source_type, s.config, s.credentials from :schema.external_data_sources s
  where s.credentials ->> 'kid' = wanted order by s.updated_at desc limit most
$$;
revoke execute on function :schema.headrace_kids_in_use(), :schema.headrace_boxes_under(text, integer) from public;
grant execute on function :schema.headrace_kids_in_use() to headrace_fetcher, headrace_gateway, headrace_keys;
grant execute on function :schema.headrace_boxes_under(text, integer) to headrace_fetcher;
