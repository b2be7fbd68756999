-- name: insert
insert into external_data_sources (id, user_id, source_type, display_name, description, config, credentials, credentials_set,
  field_mappings, entities, sync_enabled, sync_frequency, full_sync_every, cache_ttl_seconds, rate_limit, next_sync_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)

-- name: select
-- config and mappings as text: read back exactly as they were given, numbers included.
select id, source_type, display_name, description, config::text as config, credentials_set,
  field_mappings::text as field_mappings, mapping_version, entities, sync_enabled, sync_frequency, full_sync_every,
  cache_ttl_seconds, rate_limit, sync_status, sync_error, paused_at, last_sync_at, last_attempt_at, last_sync_duration_ms,
  next_sync_at, requests_this_minute, requests_this_hour, last_request_at, created_at, updated_at, is_deleted,
  (select jsonb_build_object('month', to_char(m.month, 'YYYY-MM'), 'reads', sum(m.reads)) from read_meters m
   where m.source_id = external_data_sources.id group by m.month order by m.month desc limit 1) as metered_reads
from external_data_sources
where ($1::uuid is null or id = $1) and ($2 or not is_deleted)
  and ($3::timestamptz is null or (created_at, id) > ($3, $4::uuid))
order by created_at, id limit $5

-- name: lock
select from external_data_sources where id = $1 and not is_deleted for no key update

-- name: update
update external_data_sources set display_name = $2, description = $3, config = $4, field_mappings = $5, mapping_version = $6,
  entities = $7, sync_enabled = $8, sync_frequency = $9, full_sync_every = $10, cache_ttl_seconds = $11, rate_limit = $12,
  next_sync_at = $13
where id = $1

-- name: replace_credentials
update external_data_sources set credentials = $2, credentials_set = $3 where id = $1

-- name: erase
update external_data_sources set is_deleted = true, credentials = null, credentials_set = '{}', next_sync_at = null
where id = $1

-- name: pause
update external_data_sources set paused_at = coalesce(paused_at, now()), sync_status = 'paused', next_sync_at = null
where id = $1

-- name: resume
update external_data_sources s set paused_at = null, next_sync_at = $2, sync_status = coalesce((
    select case r.status when 'running' then 'syncing' when 'succeeded' then 'success' else r.status end from sync_runs r
    where r.source_id = s.id and r.status in ('running', 'succeeded', 'partial', 'failed')
    order by r.requested_at desc limit 1), 'never_synced')
where id = $1 and paused_at is not null

-- name: forget_cursors
delete from sync_cursors where source_id = $1

-- name: enabled
select id from external_data_sources
where not is_deleted and sync_enabled and paused_at is null order by created_at, id

-- name: active_runs
select id from sync_runs where source_id = $1 and status in ('queued', 'running') order by status
