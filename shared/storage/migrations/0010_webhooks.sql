-- Webhooks in: signing secrets under a key of the gateway's own, deliveries against replays, events until a run takes them.

create table :schema.webhook_secrets (
  source_id uuid primary key,
  user_id uuid not null,
  box text not null check (length(box) <= 2000),        -- sealed for the gateway alone
  created_at timestamptz not null default now(),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);

-- Signatures of the last minutes: a second one is a replay.
create table :schema.webhook_deliveries (
  source_id uuid not null,
  digest bytea not null check (length(digest) = 32),
  user_id uuid not null,
  received_at timestamptz not null default now(),
  primary key (source_id, digest),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);
create index webhook_deliveries_age on :schema.webhook_deliveries (received_at);

create table :schema.webhook_events (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  source_id uuid not null,
  entity text not null check (entity in ('inventory', 'vendors', 'purchase_orders')),
  external_id text check (length(external_id) between 1 and 500), -- null: something changed, nobody says what
  op text not null check (op in ('upsert', 'delete')),
  received_at timestamptz not null default now(),
  run_id uuid,                                          -- the run that took it; null: waits for one
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);
create index webhook_events_waiting on :schema.webhook_events (source_id) where run_id is null;
create index webhook_events_age on :schema.webhook_events (received_at);

do $$
declare
  t text;
begin
  foreach t in array array['webhook_secrets', 'webhook_deliveries', 'webhook_events'] loop
    execute format('alter table :schema.%I enable row level security, force row level security', t);
    execute format('revoke all on :schema.%I from public, anon, authenticated', t);
    execute format('grant select, insert, update, delete on :schema.%I to service_role', t);
    execute format('create policy service on :schema.%I to service_role using (true) with check (true)', t);
    execute format('create policy owner on :schema.%I to :owner using (true) with check (true)', t);
    execute format(
      'create policy tenant on :schema.%I to headrace_gateway, headrace_fetcher '
      'using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()))', t);
  end loop;
end $$;
create policy scheduler on :schema.webhook_deliveries to headrace_scheduler using (true) with check (true);
create policy scheduler on :schema.webhook_events to headrace_scheduler using (true) with check (true);

grant insert, delete, select (source_id, user_id, created_at) on :schema.webhook_secrets to headrace_gateway;
grant insert, select on :schema.webhook_deliveries to headrace_gateway;
grant insert, select on :schema.webhook_events to headrace_gateway;
grant select, update (run_id) on :schema.webhook_events to headrace_fetcher;
grant select, delete on :schema.webhook_deliveries, :schema.webhook_events to headrace_scheduler;

-- Who may have signed, before any tenant is known. A paused source keeps its events until it is resumed.
create function :schema.headrace_find_webhook(wanted uuid)
returns table (source_id uuid, user_id uuid, box text, entities text[])
language sql stable security definer set search_path = '' as $$
  select s.id, s.user_id, w.box, s.entities
  from :schema.webhook_secrets w join :schema.external_data_sources s on s.id = w.source_id
  where w.source_id = wanted and not s.is_deleted and s.source_type <> 'quickbooks'
$$;
-- One app of the vendor serves many companies: each source with that app's id, by its realm.
create function :schema.headrace_find_app_webhooks(client text)
returns table (source_id uuid, user_id uuid, box text, entities text[], realm text)
language sql stable security definer set search_path = '' as $$
  select s.id, s.user_id, w.box, s.entities, s.config ->> 'realm_id'
  from :schema.webhook_secrets w join :schema.external_data_sources s on s.id = w.source_id
  where s.source_type = 'quickbooks' and s.config ->> 'client_id' = client and not s.is_deleted
  order by s.created_at limit 500
$$;
revoke execute on function :schema.headrace_find_webhook(uuid), :schema.headrace_find_app_webhooks(text) from public;
grant execute on function :schema.headrace_find_webhook(uuid), :schema.headrace_find_app_webhooks(text) to headrace_gateway;
