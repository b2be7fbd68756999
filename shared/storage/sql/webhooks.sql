-- name: keep_secret
insert into webhook_secrets (source_id, user_id, box) values ($1, $2, $3)

-- name: drop_secret
delete from webhook_secrets where source_id = $1

-- name: find
select source_id, user_id, box, entities from headrace_find_webhook($1)

-- name: find_app
select source_id, user_id, box, entities, realm from headrace_find_app_webhooks($1)

-- name: deliver
-- One statement: at hundreds of deliveries a second a round trip is what they wait for.
with first as (
  insert into webhook_deliveries (source_id, digest, user_id) values ($2, $6, $1) on conflict do nothing returning 1
), kept as (
  insert into webhook_events (user_id, source_id, entity, external_id, op)
  select $1, $2, entity, external_id, op
  from first, unnest($3::text[], $4::text[], $5::text[]) as e (entity, external_id, op)
)
select exists (select from first)

-- name: add_events
insert into webhook_events (user_id, source_id, entity, external_id, op)
select $1, $2, entity, external_id, op from unnest($3::text[], $4::text[], $5::text[]) as e (entity, external_id, op)

-- name: waiting_entities
select distinct e.entity from webhook_events e where e.source_id = $1 and e.run_id is null order by 1

-- name: claim
-- Whatever the run reads, it reads now: each waiting event of its entities is served by it.
update webhook_events set run_id = $2 where source_id = $1 and run_id is null and entity = any($3::text[])

-- name: waiting_sources
select s.id, s.user_id, s.source_type, array_agg(distinct e.entity order by e.entity) as entities
from webhook_events e join external_data_sources s on s.id = e.source_id
where e.run_id is null and e.received_at < now() - make_interval(secs => $1)
  and s.sync_enabled and s.paused_at is null and not s.is_deleted
  and not exists (select from sync_runs r where r.source_id = s.id and r.status = 'queued')
group by s.id order by min(e.received_at) limit $2

-- name: forget_deliveries
delete from webhook_deliveries where received_at < now() - interval '15 minutes'

-- name: forget_events
-- A served one is of no use; one that a paused source keeps is superseded by its next sweep after a month.
delete from webhook_events where received_at < now() - case when run_id is null then interval '30 days' else interval '1 day' end
