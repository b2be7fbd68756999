-- Every table: row-level security on and forced. Users see their own rows; a worker sees the tenant that its run row
-- names; the scheduler, which serves all tenants, sees runs and sources but neither rows nor credentials.

do $$
declare
  t text;
begin
  foreach t in array array[
    'external_data_sources', 'sync_cursors', 'connection_probes', 'upstream_calls', 'sync_runs', 'sync_run_entities',
    'sync_pages', 'sync_batches', 'sync_keys_seen', 'sync_misses', 'outbox', 'dead_letters', 'quarantined_records',
    'inventory', 'vendors', 'purchase_orders', 'purchase_order_lines'
  ] loop
    execute format('alter table :schema.%I enable row level security, force row level security', t);
    execute format('revoke all on :schema.%I from public, anon, authenticated', t);
    execute format('grant select, insert, update, delete on :schema.%I to service_role', t);
    execute format('create policy service on :schema.%I to service_role using (true) with check (true)', t);
    -- The definer functions run as the owner, which FORCE subjects to policies too.
    execute format('create policy owner on :schema.%I to :owner using (true) with check (true)', t);
  end loop;

  foreach t in array array[
    'external_data_sources', 'sync_cursors', 'connection_probes', 'sync_runs', 'sync_run_entities', 'sync_pages',
    'sync_batches', 'sync_keys_seen', 'sync_misses', 'dead_letters', 'quarantined_records',
    'inventory', 'vendors', 'purchase_orders', 'purchase_order_lines'
  ] loop
    execute format(
      'create policy tenant on :schema.%I to headrace_gateway, headrace_fetcher, headrace_writer '
      'using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()))', t);
  end loop;

  foreach t in array array[
    'external_data_sources', 'sync_cursors', 'sync_runs', 'sync_run_entities', 'sync_pages', 'sync_batches',
    'dead_letters', 'quarantined_records', 'inventory', 'vendors', 'purchase_orders', 'purchase_order_lines'
  ] loop
    execute format(
      'create policy own on :schema.%I for select to authenticated using (user_id = (select auth.uid()))', t);
  end loop;

  foreach t in array array[
    'external_data_sources', 'sync_cursors', 'connection_probes', 'upstream_calls', 'sync_runs', 'sync_run_entities',
    'sync_pages', 'sync_batches', 'sync_keys_seen', 'sync_misses', 'outbox', 'dead_letters', 'quarantined_records'
  ] loop
    execute format('create policy scheduler on :schema.%I to headrace_scheduler using (true) with check (true)', t);
  end loop;

  -- Closing a run deletes what vanished; the dead-letter consumer and the reaper, both in the scheduler, close runs too.
  foreach t in array array['inventory', 'vendors', 'purchase_orders'] loop
    execute format(
      'create policy closing on :schema.%I to headrace_scheduler '
      'using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()))', t);
  end loop;
end $$;

-- Outbox rows hold run ids alone; any service may carry any of them to the broker, but writes only its tenant's.
create policy carry on :schema.outbox for select to headrace_gateway, headrace_fetcher, headrace_writer using (true);
create policy lock on :schema.outbox for update to headrace_gateway, headrace_fetcher, headrace_writer using (true);
create policy clear on :schema.outbox for delete to headrace_gateway, headrace_fetcher, headrace_writer using (true);
create policy fill on :schema.outbox for insert to headrace_gateway, headrace_fetcher, headrace_writer
  with check (user_id = (select :schema.headrace_tenant()));

create policy calls on :schema.upstream_calls to headrace_fetcher using (true) with check (true);
grant execute on function :schema.headrace_tenant() to headrace_scheduler;

-- Users: everything of theirs but the credentials column.
grant select (id, user_id, source_type, display_name, description, config, credentials_set, field_mappings, mapping_version,
    entities, sync_enabled, sync_frequency, full_sync_every, cache_ttl_seconds, rate_limit, sync_status, sync_error, paused_at,
    last_sync_at, last_attempt_at, last_sync_duration_ms, next_sync_at, requests_this_minute, requests_this_hour,
    last_request_at, created_at, updated_at, is_deleted)
  on :schema.external_data_sources to authenticated;
grant select on :schema.sync_cursors, :schema.sync_runs, :schema.sync_run_entities, :schema.sync_pages, :schema.sync_batches,
  :schema.dead_letters, :schema.quarantined_records, :schema.inventory, :schema.vendors, :schema.purchase_orders,
  :schema.purchase_order_lines to authenticated;

-- Gateway: stores sealed credentials, cannot read them back; asks for runs; never writes synced rows.
grant select (id, user_id, source_type, display_name, description, config, credentials_set, field_mappings, mapping_version,
    entities, sync_enabled, sync_frequency, full_sync_every, cache_ttl_seconds, rate_limit, sync_status, sync_error, paused_at,
    last_sync_at, last_attempt_at, last_sync_duration_ms, next_sync_at, run_seq, requests_this_minute, requests_this_hour,
    last_request_at, created_at, updated_at, is_deleted),
  insert (id, user_id, source_type, display_name, description, config, credentials, credentials_set, field_mappings, entities,
    sync_enabled, sync_frequency, full_sync_every, cache_ttl_seconds, rate_limit, next_sync_at),
  update (display_name, description, config, credentials, credentials_set, field_mappings, mapping_version, entities,
    sync_enabled, sync_frequency, full_sync_every, cache_ttl_seconds, rate_limit, next_sync_at, paused_at, sync_status,
    sync_error, is_deleted)
  on :schema.external_data_sources to headrace_gateway;
grant select, delete on :schema.sync_cursors to headrace_gateway;
grant insert, select (id, user_id), delete on :schema.connection_probes to headrace_gateway;
grant select, insert, update on :schema.sync_runs, :schema.sync_run_entities to headrace_gateway;
grant select on :schema.sync_pages, :schema.sync_batches, :schema.dead_letters, :schema.quarantined_records to headrace_gateway;
grant update (replayed_at, replay_run_id), delete on :schema.dead_letters to headrace_gateway;
grant select, insert, update, delete on :schema.outbox to headrace_gateway;

-- Fetcher: plans and fetches; the only one that may ask for credentials (by the function).
grant select (id, user_id, source_type, display_name, config, field_mappings, mapping_version, entities, sync_enabled,
    full_sync_every, cache_ttl_seconds, rate_limit, sync_status, paused_at, last_sync_at, run_seq, last_request_at, is_deleted),
  update (run_seq, sync_status, sync_error, last_attempt_at)
  on :schema.external_data_sources to headrace_fetcher;
grant select on :schema.sync_cursors to headrace_fetcher;
grant select, delete on :schema.connection_probes to headrace_fetcher;
grant select, insert, update, delete on :schema.upstream_calls to headrace_fetcher;
grant select, insert, update on :schema.sync_pages to headrace_fetcher;
grant delete on :schema.sync_pages to headrace_fetcher;
grant select, delete on :schema.sync_batches, :schema.sync_keys_seen to headrace_fetcher;
grant select, delete on :schema.quarantined_records to headrace_fetcher;
grant usage on sequence :schema.sync_epochs to headrace_fetcher;

-- Writer: rows, marks, rejects.
grant select, insert, update on :schema.inventory, :schema.vendors, :schema.purchase_orders to headrace_writer;
grant select, insert, update, delete on :schema.purchase_order_lines to headrace_writer;
grant select, update (fetched_at) on :schema.sync_pages to headrace_writer; -- update: a row lock asks for it
grant select, insert, update, delete on :schema.sync_batches, :schema.sync_keys_seen to headrace_writer;
grant select, insert, update, delete on :schema.quarantined_records to headrace_writer;

-- Whoever may end an entity: the writer, the fetcher, the scheduler (reaper, dead letters) and the gateway (cancel).
grant select, update on :schema.sync_runs, :schema.sync_run_entities to headrace_fetcher, headrace_writer, headrace_scheduler;
grant select, insert, update, delete on :schema.sync_cursors, :schema.sync_misses to headrace_writer, headrace_scheduler, headrace_fetcher;
grant select, update (resolved_at) on :schema.quarantined_records to headrace_writer, headrace_scheduler, headrace_fetcher;
grant select, update (deleted_at, last_changed_at) on :schema.inventory, :schema.vendors, :schema.purchase_orders
  to headrace_fetcher, headrace_scheduler;
grant select (id, user_id, source_type, display_name, entities, sync_enabled, sync_frequency, full_sync_every, sync_status,
    paused_at, last_sync_at, last_attempt_at, next_sync_at, run_seq, is_deleted, created_at)
  on :schema.external_data_sources to headrace_writer, headrace_scheduler;
grant update (sync_status, sync_error, last_sync_at, last_attempt_at, last_sync_duration_ms)
  on :schema.external_data_sources to headrace_writer, headrace_fetcher, headrace_gateway, headrace_scheduler;
grant update (next_sync_at) on :schema.external_data_sources to headrace_scheduler;
grant select, insert, update, delete on :schema.outbox to headrace_fetcher, headrace_writer, headrace_scheduler;

-- Scheduler: due sources, runs, dead letters, retention.
grant update (fetched_at) on :schema.sync_pages to headrace_scheduler; -- for the row lock of a replan
grant insert on :schema.sync_runs, :schema.sync_run_entities to headrace_scheduler;
grant select, delete on :schema.sync_pages, :schema.sync_batches, :schema.sync_keys_seen, :schema.upstream_calls to headrace_scheduler;
grant select (id, expires_at), delete on :schema.connection_probes to headrace_scheduler;
grant select, insert, update, delete on :schema.dead_letters to headrace_scheduler;
grant delete on :schema.quarantined_records to headrace_scheduler;


-- A worker's first statement: binds the transaction to the tenant of the run row, whatever a message says.
create function :schema.headrace_bind_run(wanted uuid) returns setof :schema.sync_runs
language plpgsql security definer set search_path = '' as $$
begin
  return query select * from :schema.sync_runs r where r.id = wanted;
  perform set_config('headrace.tenant', coalesce((select r.user_id::text from :schema.sync_runs r where r.id = wanted), ''), true);
end $$;

-- The same for a connection test.
create function :schema.headrace_bind_probe(wanted uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform set_config('headrace.tenant', coalesce(
    (select p.user_id::text from :schema.connection_probes p where p.id = wanted and p.expires_at > now()), ''), true);
end $$;
revoke execute on function :schema.headrace_bind_run(uuid), :schema.headrace_bind_probe(uuid) from public;
grant execute on function :schema.headrace_bind_run(uuid) to headrace_fetcher, headrace_writer, headrace_scheduler;
grant execute on function :schema.headrace_bind_probe(uuid) to headrace_fetcher;
