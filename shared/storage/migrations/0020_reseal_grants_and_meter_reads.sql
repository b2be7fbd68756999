-- What a consent's tokens are bound to, so that `headrace keys rotate` can seal them anew; null until they are used next.
alter table :schema.oauth_grants add column origins text[];
create policy reseal on :schema.oauth_grants to headrace_keys using (true) with check (true);
grant select (id, user_id, used_by, origins, tokens), update (tokens, obtained_at, expires_at)
  on :schema.oauth_grants to headrace_keys;

-- How much each key's name still holds: credentials of sources, and tokens of consents; no box.
drop function :schema.headrace_kids_in_use();
create function :schema.headrace_kids_in_use() returns table (kid text, boxes bigint, tokens bigint)
language sql stable security definer set search_path = '' as $$
  select b.kid, count(*) filter (where not b.consent), count(*) filter (where b.consent) from (
    select coalesce(s.credentials ->> 'kid', '') as kid, false as consent from :schema.external_data_sources s
    where s.credentials is not null and s.credentials <> 'null'::jsonb
    union all select coalesce(g.tokens ->> 'kid', ''), true from :schema.oauth_grants g where g.tokens is not null
  ) b group by 1 order by 1
$$;
revoke execute on function :schema.headrace_kids_in_use() from public;
grant execute on function :schema.headrace_kids_in_use() to headrace_fetcher, headrace_gateway, headrace_keys;

-- When an entity was last read, whether or not its vendor told of a change: how long it slept. Null: before this.
alter table :schema.sync_cursors add column read_at timestamptz;

-- Reads that a vendor counts by the month, by account and by the source (or connection test) that made them. Counted
-- before each call: a crash may count one that was never made, and never leaves one out.
create table :schema.read_meters (
  source_id uuid not null,
  account text not null,                                -- as the budget names it, without a limit class
  month date not null,                                  -- its first day, on the vendor's calendar
  user_id uuid not null,
  pool text not null,                                   -- whose allowance the reads come out of
  reads bigint not null default 0,
  primary key (source_id, account, month)
);
create index read_meters_pool on :schema.read_meters (pool, month);
alter table :schema.read_meters enable row level security, force row level security;
revoke all on :schema.read_meters from public, anon, authenticated;
grant select, insert, update, delete on :schema.read_meters to service_role;
create policy service on :schema.read_meters to service_role using (true) with check (true);
create policy owner on :schema.read_meters to :owner using (true) with check (true);
create policy own on :schema.read_meters for select to authenticated using (user_id = (select auth.uid()));
create policy tenant on :schema.read_meters to headrace_fetcher
  using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()));
create policy shown on :schema.read_meters for select to headrace_gateway
  using (user_id = (select :schema.headrace_tenant()) or (select :schema.headrace_operator()));
create policy scheduler on :schema.read_meters to headrace_scheduler using (true) with check (true);
grant select on :schema.read_meters to authenticated, headrace_gateway;
grant select, insert, update (reads, pool) on :schema.read_meters to headrace_fetcher;
grant select (month), delete on :schema.read_meters to headrace_scheduler;

-- Of the ids that a run reads one by one, those that the source itself called deleted: not being there proves it.
alter table :schema.sync_run_entities add column targets_deleted text[] not null default '{}';
-- Of the others, those that were not found: doubt, which the next read of all decides.
alter table :schema.sync_pages add column missing integer not null default 0;
