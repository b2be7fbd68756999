-- What the gateway needs beyond sources and runs.

-- A test of a stored source: the fetcher opens that source's own credentials, so the probe carries none.
alter table :schema.connection_probes alter column credentials drop not null;
alter table :schema.connection_probes add column source_id uuid;
alter table :schema.connection_probes
  add constraint connection_probes_of_source foreign key (source_id, user_id)
    references :schema.external_data_sources (id, user_id) on delete cascade,
  add constraint connection_probes_one_origin check ((credentials is null) = (source_id is not null));

-- Answers of POSTs that carried an Idempotency-Key. Of the body only a hash is kept: it may hold credentials.
create table :schema.idempotency_keys (
  user_id uuid not null,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null check (length(request_hash) = 32),
  status integer,                                       -- null only inside the transaction that does the work
  location text,
  response jsonb,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);
create index idempotency_keys_age on :schema.idempotency_keys (created_at);

alter table :schema.idempotency_keys enable row level security, force row level security;
revoke all on :schema.idempotency_keys from public, anon, authenticated;
grant select, insert, update, delete on :schema.idempotency_keys to service_role;
create policy service on :schema.idempotency_keys to service_role using (true) with check (true);
create policy owner on :schema.idempotency_keys to :owner using (true) with check (true);
create policy tenant on :schema.idempotency_keys to headrace_gateway
  using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()));
create policy scheduler on :schema.idempotency_keys to headrace_scheduler using (true) with check (true);
grant select, insert on :schema.idempotency_keys to headrace_gateway;
grant update (status, location, response) on :schema.idempotency_keys to headrace_gateway;
grant select (created_at), delete on :schema.idempotency_keys to headrace_scheduler;

-- A probe is removed by whoever has its answer; a wish to delete names it by id.
grant select (id, user_id, source_id) on :schema.connection_probes to headrace_gateway;
