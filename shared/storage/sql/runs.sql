-- name: lock_source
select id, paused_at is not null as paused from external_data_sources where id = $1 and not is_deleted for no key update

-- name: active_runs
select id, status from sync_runs where source_id = $1 and status in ('queued', 'running') order by status desc

-- name: run_by_id
select id, source_id, status from sync_runs where id = $1

-- name: insert_run
insert into sync_runs (id, user_id, source_id, source_type, trigger, mode, force, dry_run, targeted)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: insert_entities
insert into sync_run_entities (run_id, entity, user_id, mode)
select $1, entity, $2, $4 from unnest($3::text[]) as entity
on conflict (run_id, entity) do nothing

-- name: widen_run
-- A dry run that a real ask joins becomes real, a targeted one that wants more becomes whole: an accepted ask is not lost.
-- Nor is a person's run read from the cache when somebody joins it who is owed what the vendor has now.
update sync_runs set mode = case when $2 = 'full' then 'full' else mode end, dry_run = dry_run and $4,
  targeted = targeted and $5, force = force or $3 or (trigger = 'manual' and $6 <> 'manual')
where id = $1 and status = 'queued'

-- name: start_run
update sync_runs set status = 'running', started_at = now(), run_seq = $2, config = $3, mappings = $4, mode = $5
where id = $1 and status = 'queued'

-- name: next_run_seq
update external_data_sources set run_seq = run_seq + 1, sync_status = 'syncing', last_attempt_at = now()
where id = $1 returning run_seq

-- name: source_for_plan
select id, user_id, source_type, config, field_mappings, mapping_version, entities, full_sync_every, is_deleted
from external_data_sources where id = $1 for no key update

-- name: cursors
select entity, changed_until, read_at, last_full_at from sync_cursors where source_id = $1

-- name: start_entity
update sync_run_entities set status = 'running', mode = $3, since = $4, stable_paging = $5, targets = $6, targets_deleted = $7,
  progressed_at = now()
where run_id = $1 and entity = $2 and status = 'queued'

-- name: was_read
-- Whether the entity has ever been read in full.
select exists (
  select from sync_runs r join sync_run_entities e on e.run_id = r.id
  where r.source_id = $1 and not r.dry_run and e.entity = $2 and e.mode = 'full' and e.status in ('succeeded', 'partial'))

-- name: lock_queued
-- Read again once the source is locked: meanwhile another message may have started this run, or an ask widened it.
select * from sync_runs where id = $1 and status = 'queued' for no key update

-- name: other_running
select id from sync_runs where source_id = $1 and status = 'running' and id <> $2

-- name: running_entities
select entity, mode, since, stable_paging, targets, targets_deleted from sync_run_entities where run_id = $1 and status = 'running' order by entity

-- name: entities_of
select entity from sync_run_entities where run_id = $1 order by entity

-- name: set_waiting
update sync_run_entities set waiting_on = $3, resume_at = $4, progressed_at = now()
where run_id = $1 and entity = $2 and status = 'running'

-- name: clear_waiting
update sync_run_entities set waiting_on = null, resume_at = null, progressed_at = now()
where run_id = $1 and entity = $2 and status = 'running' and waiting_on is not null

-- name: touch
update sync_run_entities set waiting_on = null, resume_at = null, progressed_at = now()
where run_id = $1 and entity = $2 and status = 'running' returning true

-- name: read_whole
update sync_run_entities set mode = 'full', since = null, targets = null, targets_deleted = '{}', progressed_at = now()
where run_id = $1 and entity = $2 and status = 'running'

-- name: count_calls
-- The entity's row first, as whoever ends it locks them: the source's waits for what the first part gives.
with counted as (
  update sync_run_entities set api_calls = api_calls + $3::int, cache_hits = cache_hits + $4,
    waiting_on = null, resume_at = null, progressed_at = now()
  where run_id = $1 and entity = $2 and status in ('queued', 'running') returning 1),
done as (select count(*) from counted)
select increment_rate_limit($5, $3::int) from done where $3::int > 0

-- name: claim_stalled
-- A restart counts as progress: the workers get the same time again. Of two schedulers the second waits for the row,
-- sees it replanned, and leaves it alone.
update sync_runs r set replans = r.replans + 1, replanned_at = now()
where r.status = 'running' and greatest(
    r.started_at, r.replanned_at,
    (select max(greatest(e.progressed_at, e.resume_at)) from sync_run_entities e where e.run_id = r.id and e.status = 'running'),
    (select max(b.committed_at) from sync_batches b where b.run_id = r.id)
  ) < now() - make_interval(secs => $1)
returning r.id, r.replans

-- name: forgotten
select r.id from sync_runs r
where r.status = 'queued' and r.requested_at < now() - make_interval(secs => $1)
  and not exists (select from sync_runs o where o.source_id = r.source_id and o.status = 'running')
  and not exists (select from outbox o where o.run_id = r.id)
order by r.requested_at limit 50

-- name: active
select id, status from sync_runs where status in ('queued', 'running') order by requested_at
