-- name: runs
select r.id, r.source_id, r.source_type, r.trigger, r.mode, r.status, r.error_category, r.error_message,
  r.error_hint, r.requested_at, r.started_at, r.finished_at,
  r.status = 'queued' and exists (
    select from outbox o where o.run_id = r.id and o.created_at < now() - interval '2 seconds') as unpublished
from sync_runs r
where ($1::uuid is null or r.id = $1) and ($2::uuid is null or r.source_id = $2)
  and ($3::timestamptz is null or (r.requested_at, r.id) < ($3, $4::uuid))
order by r.requested_at desc, r.id desc limit $5

-- name: entities
-- While an entity runs, its counters are those of the committed batches; once ended, those of the recount.
select e.run_id, e.entity, coalesce(m.missing, 0) as missing, e.status, e.mode, e.api_calls, e.cache_hits, e.waiting_on, e.resume_at, e.delete_proposal,
  case when e.read is null then coalesce(b.deleted, 0) else e.deleted end as deleted,
  coalesce(e.read, p.read, 0) as read, coalesce(e.pages, p.pages, 0) as pages, coalesce(e.bytes, p.bytes, 0) as bytes,
  coalesce(e.inserted, b.inserted, 0) as inserted, coalesce(e.updated, b.updated, 0) as updated,
  coalesce(e.unchanged, b.unchanged, 0) as unchanged, coalesce(e.filtered, b.filtered, 0) as filtered,
  coalesce(e.duplicates, b.duplicates, 0) as duplicates, coalesce(e.quarantined, b.quarantined, 0) as quarantined
from sync_run_entities e
left join lateral (
  select sum(records)::bigint as read, count(*)::int as pages, sum(bytes)::bigint as bytes
  from sync_pages where run_id = e.run_id and entity = e.entity and e.read is null
) p on true
left join lateral (
  select sum(inserted)::bigint as inserted, sum(updated)::bigint as updated, sum(unchanged)::bigint as unchanged,
    sum(filtered)::bigint as filtered, sum(duplicates)::bigint as duplicates, sum(quarantined)::bigint as quarantined, sum(deleted)::bigint as deleted
  from sync_batches where run_id = e.run_id and entity = e.entity and e.read is null
) b on true
left join lateral (
  select sum(missing)::bigint as missing from sync_pages where run_id = e.run_id and entity = e.entity and e.targets is not null
) m on true
where e.run_id = any($1::uuid[]) order by e.run_id, e.entity
