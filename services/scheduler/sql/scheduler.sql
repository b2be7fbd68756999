-- name: due_sources
-- No leader: each replica takes other rows.
select id, user_id, source_type, entities, sync_frequency, next_sync_at
from external_data_sources
where next_sync_at <= now() and sync_enabled and paused_at is null and not is_deleted
order by next_sync_at limit $1 for no key update skip locked

-- name: set_next
update external_data_sources set next_sync_at = $2 where id = $1

-- name: overdue
select coalesce(extract(epoch from now() - min(next_sync_at)), 0)::float8 from external_data_sources
where next_sync_at <= now() and sync_enabled and paused_at is null and not is_deleted

-- name: source_for_request
select id, user_id, source_type, entities, sync_enabled and paused_at is null as enabled
from external_data_sources where id = $1 and not is_deleted

-- name: forget_keys
-- A finished run needs its keys no more; a run that is gone neither.
delete from sync_keys_seen k
where not exists (select from sync_runs r where r.id = k.run_id and r.status in ('queued', 'running'))

-- name: forget_packs
delete from sync_key_packs k
where not exists (select from sync_runs r where r.id = k.run_id and r.status in ('queued', 'running'))

-- name: forget_idempotency_keys
delete from idempotency_keys where created_at < now() - interval '1 day'

-- name: forget_probes
delete from connection_probes where expires_at < now()
