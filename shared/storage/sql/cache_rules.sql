-- name: of_entity
-- `last`: the newest run before this one that read the entity at the vendor, or failed to; what it wrote may be newer than
-- any answer that was kept before it, and what failed before a call (a revoked consent) is no news from the vendor. `told`: a webhook said that something is newer than what is known.
select s.cache_ttl_seconds as ttl, s.cache_secret as secret, e.api_calls, e.cache_hits, last.run_seq as last_seq,
  coalesce(last.status in ('succeeded', 'partial'), false) as last_was_good,
  exists (select from webhook_events w
    where w.source_id = r.source_id and w.entity = e.entity and w.run_id = r.id) as told
from sync_run_entities e
join sync_runs r on r.id = e.run_id
join external_data_sources s on s.id = r.source_id
left join lateral (
  select o.run_seq, oe.status from sync_runs o join sync_run_entities oe on oe.run_id = o.id and oe.entity = e.entity
  where o.source_id = r.source_id and o.run_seq < r.run_seq and not o.dry_run
    and (oe.api_calls > 0 or oe.status = 'failed')
  order by o.run_seq desc limit 1
) last on true
where e.run_id = $1 and e.entity = $2

-- name: of_source
-- `last_was_good`: so did the last run that came to an end of its own; a source that has none is as good.
select s.id, s.user_id, s.cache_ttl_seconds as ttl, s.cache_secret as secret,
  coalesce((select r.status = 'succeeded' from sync_runs r
    where r.source_id = s.id and r.run_seq is not null and r.status in ('succeeded', 'partial', 'failed')
    order by r.run_seq desc limit 1), true) as last_was_good
from external_data_sources s where s.id = $1 and not s.is_deleted

-- name: forget
update external_data_sources set cache_secret = gen_random_uuid() where id = $1 returning user_id

-- name: ask_purge
insert into cache_purges (source_id, user_id) values ($1, $2) on conflict (source_id) do update set asked_at = now()

-- name: take_purges
delete from cache_purges where source_id in (
  select source_id from cache_purges order by asked_at limit $1 for update skip locked
) returning source_id
