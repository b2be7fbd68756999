-- name: keep_secret
insert into webhook_secrets (source_id, user_id, box) values ($1, $2, $3)

-- name: drop_secret
delete from webhook_secrets where source_id = $1

-- name: find
select source_id, user_id, box, entities from headrace_find_webhooks($1)

-- name: find_app
select source_id, user_id, box, entities, realm from headrace_find_app_webhooks($1)

-- name: take_deliveries
select place, fresh from headrace_take_deliveries($1, $2, $3, $4, $5, $6, $7)

-- name: need
select id, user_id, source_type, entities from headrace_webhook_need($1)

-- name: claim
-- Whatever the run reads, it reads now: each waiting event of its entities is served by it, and so is each that a run
-- took within the last day whose read of the entity came to nothing. Of one id, one row; of more than $4, one too many.
with failed as (
  select e.id from webhook_events e join sync_run_entities f on f.run_id = e.run_id and f.entity = e.entity
  where e.source_id = $1 and e.run_id is not null and e.entity = any($3::text[])
    and e.received_at > now() - interval '1 day' and f.status in ('failed', 'cancelled')
), claimed as (
  update webhook_events w set run_id = $2
  from (select id, false as again from webhook_events where source_id = $1 and run_id is null and entity = any($3::text[])
        union all select id, true from failed) t
  where w.id = t.id returning w.entity, w.external_id, w.op, t.again
), ids as (
  select entity, external_id, deleted, row_number() over (partition by entity order by external_id) as place
  from (select entity, external_id, bool_or(op = 'delete') as deleted from claimed
        where external_id is not null group by entity, external_id) d
)
select c.entity, bool_and(c.external_id is not null) as named, bool_or(c.again) as again, bool_or(c.op = 'delete') as deletes,
  array(select i.external_id from ids i where i.entity = c.entity and i.place <= $4 + 1 order by i.place) as ids,
  array(select i.external_id from ids i where i.entity = c.entity and i.place <= $4 and i.deleted order by i.place) as deleted
from claimed c group by c.entity

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
