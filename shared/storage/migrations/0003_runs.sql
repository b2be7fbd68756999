create sequence :schema.sync_epochs as bigint;

create table :schema.sync_runs (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_id uuid not null,
  source_type text not null,
  trigger text not null check (trigger in ('manual', 'schedule', 'webhook', 'external', 'retry', 'replay')),
  mode text not null default 'incremental' check (mode in ('incremental', 'full')),
  force boolean not null default false,
  dry_run boolean not null default false,
  status text not null default 'queued'
    check (status in ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
  run_seq bigint,                                       -- given when it starts
  config jsonb,                                         -- as it was when the run started: a change must not mix two reads
  mappings jsonb,                                       -- {entity: mapping}, likewise
  cache_hits integer not null default 0,
  replans integer not null default 0,
  replanned_at timestamptz,
  error_category text,
  error_message text,
  error_hint text,
  requested_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  unique (id, user_id),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade,
  check ((status in ('succeeded', 'partial', 'failed', 'cancelled')) = (finished_at is not null))
);
create unique index sync_runs_one_running on :schema.sync_runs (source_id) where status = 'running';
create unique index sync_runs_one_queued on :schema.sync_runs (source_id) where status = 'queued';
create index sync_runs_recent on :schema.sync_runs (user_id, requested_at desc, id desc);
create index sync_runs_of_source on :schema.sync_runs (source_id, requested_at desc);

create table :schema.sync_run_entities (
  run_id uuid not null,
  entity text not null check (entity in ('inventory', 'vendors', 'purchase_orders')),
  user_id uuid not null,
  status text not null default 'queued'
    check (status in ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
  mode text not null default 'full' check (mode in ('incremental', 'full')),
  since timestamptz,                                    -- incremental: read what changed from here on
  stable_paging boolean not null default true,
  api_calls integer not null default 0,
  waiting_on text check (waiting_on in ('rate_limit', 'retry', 'broker')),
  resume_at timestamptz,
  progressed_at timestamptz,
  -- Fixed when the entity ends, by a recount of pages and marks.
  read bigint, inserted bigint, updated bigint, unchanged bigint, filtered bigint, duplicates bigint, quarantined bigint,
  pages integer, bytes bigint,
  deleted bigint not null default 0,
  delete_proposal bigint,
  error_category text,
  error_message text,
  error_hint text,
  finished_at timestamptz,
  primary key (run_id, entity),
  foreign key (run_id, user_id) references :schema.sync_runs (id, user_id) on delete cascade
);

-- Only these steps exist; a worker that is wrong about a run's state gets an error instead of a wrong history.
create function :schema.check_status_step() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.status <> old.status and not (
    (old.status = 'queued' and new.status in ('running', 'failed', 'cancelled'))
    or (old.status = 'running' and new.status in ('succeeded', 'partial', 'failed', 'cancelled'))
    or (tg_table_name = 'sync_run_entities' and old.status = 'queued')
  ) then
    raise exception '% cannot go from % to %', tg_table_name, old.status, new.status using errcode = 'check_violation';
  end if;
  if old.status in ('succeeded', 'partial', 'failed', 'cancelled') and new.status = old.status then
    raise exception '% % is finished and does not change', tg_table_name, old.status using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger status_step before update on :schema.sync_runs
  for each row execute function :schema.check_status_step();
create trigger status_step before update on :schema.sync_run_entities
  for each row execute function :schema.check_status_step();

-- The page ledger: the truth about what was fetched.
create table :schema.sync_pages (
  run_id uuid not null,
  entity text not null,
  page_no integer not null check (page_no >= 1),
  user_id uuid not null,
  epoch bigint not null,
  cursor jsonb,
  next_cursor jsonb,
  is_last boolean not null,
  records integer not null,
  batches integer not null check (batches >= 1),
  bytes bigint not null,
  digest text,                                          -- of a spooled read: an equal repeat keeps its epoch
  fetched_at timestamptz not null default now(),
  primary key (run_id, entity, page_no),
  foreign key (run_id, entity) references :schema.sync_run_entities (run_id, entity) on delete cascade
);

-- One mark per committed batch, written in the transaction of its rows.
create table :schema.sync_batches (
  run_id uuid not null,
  entity text not null,
  page_no integer not null,
  batch_no integer not null,
  user_id uuid not null,
  epoch bigint not null,
  read integer not null,
  inserted integer not null,
  updated integer not null,
  unchanged integer not null,
  filtered integer not null,
  duplicates integer not null,
  quarantined integer not null,
  keys integer not null,                                -- rows this batch put into sync_keys_seen
  keyless integer not null,                             -- rejects without a key: they forbid deletes
  max_updated_at timestamptz,
  committed_at timestamptz not null default now(),
  primary key (run_id, entity, page_no, batch_no),
  foreign key (run_id, entity, page_no) references :schema.sync_pages (run_id, entity, page_no) on delete cascade
);

-- Which keys a run has seen, and on which page. Unlogged: if a crash empties it, nothing is deleted.
create unlogged table :schema.sync_keys_seen (
  run_id uuid not null,
  entity text not null,
  external_id text not null,
  page_no integer not null,
  batch_no integer not null,
  user_id uuid not null,
  outcome "char" not null,                              -- i(nserted) u(pdated) s(ame) d(uplicate) q(uarantined)
  primary key (run_id, entity, external_id, page_no, batch_no)
);

-- Rows that the last full read missed, for sources whose paging can skip living rows: two misses in a row delete.
create table :schema.sync_misses (
  source_id uuid not null,
  entity text not null,
  external_id text not null,
  user_id uuid not null,
  run_id uuid not null,
  primary key (source_id, entity, external_id),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);

create table :schema.outbox (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  run_id uuid not null,
  queue text not null,
  kind text not null,
  body jsonb not null,
  created_at timestamptz not null default now()
);

create table :schema.dead_letters (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,                                         -- null when the message names nobody we know
  run_id uuid,
  source_id uuid,
  entity text,
  queue text not null,
  kind text not null,
  category text not null,
  reason text not null,
  body bytea not null,
  created_at timestamptz not null default now(),
  replayed_at timestamptz,
  replay_run_id uuid
);
create index dead_letters_recent on :schema.dead_letters (created_at desc);

create table :schema.quarantined_records (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_id uuid not null,
  run_id uuid not null,
  entity text not null,
  page_no integer not null,
  batch_no integer not null,
  external_id text,
  field text,
  reason text not null,
  raw text not null,
  mapping_version integer not null,
  created_at timestamptz not null default now(),
  resolved_at timestamptz,
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);
create index quarantined_records_open on :schema.quarantined_records (source_id, entity, created_at) where resolved_at is null;
create index quarantined_records_batch on :schema.quarantined_records (run_id, entity, page_no);
