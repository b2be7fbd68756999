-- The cache of vendors' answers: what makes an entry one source's, when it may be used, and who asked to purge.

-- Part of the key and of the name of every answer that is kept for the source. With it gone, nobody can name or open
-- what is still kept under the old one, whether or not the cache can be reached at that moment.
alter table :schema.external_data_sources add column cache_secret uuid not null default gen_random_uuid();
grant select (cache_secret), update (cache_secret) on :schema.external_data_sources to headrace_gateway;
grant select (cache_secret), update (cache_secret) on :schema.external_data_sources to headrace_fetcher;

-- Answers that came from the cache: such a read moves no cursor and deletes nothing.
alter table :schema.sync_run_entities add column cache_hits integer not null default 0;

-- The last run that read an entity anew is looked for at each page.
create index sync_runs_by_seq on :schema.sync_runs (source_id, run_seq desc) where run_seq is not null;

-- Sources whose answers are to be purged, until a fetcher has done it.
create table :schema.cache_purges (
  source_id uuid primary key,
  user_id uuid not null,
  asked_at timestamptz not null default now(),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);
alter table :schema.cache_purges enable row level security, force row level security;
revoke all on :schema.cache_purges from public, anon, authenticated;
grant select, insert, update, delete on :schema.cache_purges to service_role;
create policy service on :schema.cache_purges to service_role using (true) with check (true);
create policy owner on :schema.cache_purges to :owner using (true) with check (true);
create policy tenant on :schema.cache_purges to headrace_gateway
  using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()));
-- A purge needs nothing of the tenant but the source's id.
create policy purge on :schema.cache_purges to headrace_fetcher using (true) with check (true);
grant select, insert, update (asked_at) on :schema.cache_purges to headrace_gateway;
grant select, insert, update (asked_at), delete on :schema.cache_purges to headrace_fetcher;
