-- Which keys a batch has brought, as one row: most runs never look at them. Where a run has to look for a key (ranges of
-- batches that meet), its packs become rows of sync_keys_seen, which has an index. Unlogged as that: if a crash empties
-- it, nothing is deleted.
create unlogged table :schema.sync_key_packs (
  run_id uuid not null,
  entity text not null,
  page_no integer not null,
  batch_no integer not null,
  user_id uuid not null,
  keys text[] not null,
  outcomes text not null,                               -- a letter for each key, as sync_keys_seen.outcome has them
  primary key (run_id, entity, page_no, batch_no)
);
alter table :schema.sync_key_packs alter column keys set storage external; -- they live for a run: not worth compressing
alter table :schema.sync_key_packs enable row level security, force row level security;
revoke all on :schema.sync_key_packs from public, anon, authenticated;
grant select, insert, update, delete on :schema.sync_key_packs to service_role;
create policy service on :schema.sync_key_packs to service_role using (true) with check (true);
create policy owner on :schema.sync_key_packs to :owner using (true) with check (true);
create policy tenant on :schema.sync_key_packs to headrace_fetcher, headrace_writer
  using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()));
create policy scheduler on :schema.sync_key_packs to headrace_scheduler using (true) with check (true);
-- `update` is what locking takes.
grant select, delete, update on :schema.sync_key_packs to headrace_fetcher, headrace_scheduler;
grant select, insert, update, delete on :schema.sync_key_packs to headrace_writer;
