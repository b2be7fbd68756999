-- name: complete_entities
-- Running entities whose chain is whole: pages 1 to the last are in the ledger and every batch of each is committed.
select e.entity from sync_run_entities e
where e.run_id = $1 and e.status = 'running'
  and exists (
    select from sync_pages l
    where l.run_id = e.run_id and l.entity = e.entity and l.is_last
      and l.page_no = (select count(*) from sync_pages p
                       where p.run_id = e.run_id and p.entity = e.entity and p.page_no <= l.page_no)
  )
  and not exists (
    select from sync_pages p
    where p.run_id = e.run_id and p.entity = e.entity
      and p.batches <> (select count(*) from sync_batches b
                        where b.run_id = p.run_id and b.entity = p.entity and b.page_no = p.page_no and b.epoch = p.epoch)
  )
order by e.entity

-- name: entity_states
select entity, status, mode, targets is not null as targeted, cache_hits > 0 as cached, stable_paging, quarantined, delete_proposal, error_category, error_message, error_hint
from sync_run_entities where run_id = $1 order by entity

-- name: recount
select
  (select coalesce(sum(records), 0) from sync_pages where run_id = $1 and entity = $2)::bigint as read,
  (select count(*) from sync_pages where run_id = $1 and entity = $2)::int as pages,
  (select coalesce(sum(bytes), 0) from sync_pages where run_id = $1 and entity = $2)::bigint as bytes,
  coalesce(sum(b.inserted), 0)::bigint as inserted, coalesce(sum(b.updated), 0)::bigint as updated,
  coalesce(sum(b.unchanged), 0)::bigint as unchanged, coalesce(sum(b.filtered), 0)::bigint as filtered,
  coalesce(sum(b.duplicates), 0)::bigint as duplicates, coalesce(sum(b.quarantined), 0)::bigint as quarantined,
  coalesce(sum(b.deleted), 0)::bigint as deleted, coalesce(sum(b.keys), 0)::bigint as keys, coalesce(sum(b.keyless), 0)::bigint as keyless,
  max(b.max_updated_at) as max_updated_at
from sync_batches b join sync_pages p using (run_id, entity, page_no, epoch)
where b.run_id = $1 and b.entity = $2

-- name: keys_remembered
select (select count(*) from sync_keys_seen where run_id = $1 and entity = $2)
  + (select coalesce(sum(cardinality(keys)), 0) from sync_key_packs where run_id = $1 and entity = $2)

-- name: live_rows
select count(*) from :table where source_id = $1 and deleted_at is null

-- name: lock_run
select * from sync_runs where id = $1 for no key update

-- name: drop_stages
-- A run closes several entities in one transaction; each starts from empty stages.
drop table if exists vanished, missed_before

-- name: vanished
-- Live rows that this full read did not see. `except` hashes or sorts: of a run this young the planner has no statistics,
-- and as a join it may walk all keys for every row.
create temp table vanished on commit drop as
select t.external_id from :table t where t.source_id = $1 and t.deleted_at is null
except (
  select k.external_id from sync_keys_seen k where k.run_id = $2 and k.entity = $3
  union all
  select unnest(p.keys) from sync_key_packs p where p.run_id = $2 and p.entity = $3)

-- name: missed_before
create temp table missed_before on commit drop as
select external_id from sync_misses where source_id = $1 and entity = $2

-- name: keep_missed_twice
-- Paging that can skip living rows: only what the full read before missed as well may go.
delete from vanished v where not exists (select from missed_before m where m.external_id = v.external_id)

-- name: forget_misses
delete from sync_misses where source_id = $1 and entity = $2

-- name: remember_misses
insert into sync_misses (source_id, entity, external_id, user_id, run_id)
select $1, $2, external_id, $3, $4 from vanished

-- name: count_vanished
select count(*) from vanished

-- name: delete_vanished
update :table t set deleted_at = now(), last_changed_at = now()
from (select external_id from vanished order by external_id) v
where t.source_id = $1 and t.external_id = v.external_id and t.deleted_at is null

-- name: move_cursor
insert into sync_cursors (source_id, entity, user_id, changed_until, read_at, last_full_at)
select $1, $2, $3, $4, r.started_at, case when $5 then now() end
from external_data_sources s join sync_runs r on r.source_id = s.id
-- Whoever changed config or mapping meanwhile has forgotten the cursors: this read knows nothing of the new ones.
where s.id = $1 and r.id = $6 and r.config = s.config and (r.mappings -> $2 ->> 'version')::int = s.mapping_version
on conflict (source_id, entity) do update set
  changed_until = excluded.changed_until, read_at = excluded.read_at, last_full_at = coalesce(excluded.last_full_at, sync_cursors.last_full_at)

-- name: touch_cursor
-- It was read, and nothing tells of a later change: as `move_cursor`, but it stays where it is.
update sync_cursors k set read_at = r.started_at, last_full_at = case when $3 then now() else k.last_full_at end
from external_data_sources s join sync_runs r on r.source_id = s.id
where k.source_id = s.id and k.entity = $2 and s.id = $1 and r.id = $4 and r.config = s.config
  and (r.mappings -> $2 ->> 'version')::int = s.mapping_version

-- name: resolve_all_quarantine
-- A newer read has spoken for these: whatever is still wrong was quarantined again.
update quarantined_records q set resolved_at = now()
where q.source_id = $1 and q.entity = $2 and q.run_id <> $3 and q.resolved_at is null

-- name: resolve_seen_quarantine
-- The same after a read of some records.
update quarantined_records q set resolved_at = now()
from (
  select k.external_id from sync_keys_seen k where k.run_id = $3 and k.entity = $2
  union
  select unnest(p.keys) from sync_key_packs p where p.run_id = $3 and p.entity = $2) k
where q.source_id = $1 and q.entity = $2 and q.run_id <> $3 and q.resolved_at is null and q.external_id = k.external_id

-- name: end_entity
update sync_run_entities set status = $3, read = $4, inserted = $5, updated = $6, unchanged = $7, filtered = $8,
  duplicates = $9, quarantined = $10, pages = $11, bytes = $12, deleted = $13, delete_proposal = $14,
  error_category = $15, error_message = $16, error_hint = $17, waiting_on = null, resume_at = null, finished_at = now()
where run_id = $1 and entity = $2 and status in ('queued', 'running')

-- name: end_run
update sync_runs r set status = $2, error_category = $3, error_message = $4, error_hint = $5, finished_at = now(),
  cache_hits = (select coalesce(sum(e.cache_hits), 0) from sync_run_entities e where e.run_id = r.id)
where id = $1 and status in ('queued', 'running')
returning source_id, extract(epoch from now() - coalesce(started_at, requested_at)) * 1000 as duration_ms

-- name: source_status
select update_sync_status($1, $2, $3, $4)

-- name: calm_source
-- A cancelled or dry run says nothing about the source: it goes back to what the last finished one said.
update external_data_sources s set sync_status = case
    when s.paused_at is not null then 'paused'
    else coalesce((select case r.status when 'succeeded' then 'success' else r.status end from sync_runs r
      where r.source_id = s.id and not r.dry_run and r.status in ('succeeded', 'partial', 'failed') order by r.finished_at desc limit 1),
      'never_synced') end
where s.id = $1

-- name: queued_run
select id from sync_runs where source_id = $1 and status = 'queued'
