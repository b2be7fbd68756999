-- Webhooks in, many at a time: at hundreds of deliveries a second, round trips and commits are what they wait for.

-- Who may have signed, before any tenant is known.
create function :schema.headrace_find_webhooks(wanted uuid[])
returns table (source_id uuid, user_id uuid, box text, entities text[])
language sql stable security definer set search_path = '' as $$
  select s.id, s.user_id, w.box, s.entities
  from :schema.webhook_secrets w join :schema.external_data_sources s on s.id = w.source_id
  where w.source_id = any(wanted) and not s.is_deleted and s.source_type <> 'quickbooks'
$$;

-- Keeps what deliveries told, each for the tenant of its source row. `boxes`: the sealed secret that a delivery's signature
-- was checked with; one that is not the source's any more, or whose source is gone, is not in the answer and nothing of it
-- is kept. A digest of null may come again. The events' columns are parallel, `places` counts deliveries from 1.
create function :schema.headrace_take_deliveries(
  sources uuid[], boxes text[], digests bytea[], places integer[], entities text[], external_ids text[], ops text[])
returns table (place integer, fresh boolean)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with given as (
    select g.n::integer as n, g.source, g.digest, s.user_id
    from unnest(sources, boxes, digests) with ordinality as g (source, box, digest, n)
    join :schema.webhook_secrets w on w.source_id = g.source and w.box = g.box
    join :schema.external_data_sources s on s.id = g.source and not s.is_deleted
  ), firsts as (
    select distinct on (source, digest) n, source, digest, user_id
    from given where digest is not null order by source, digest, n
  ), kept as (
    -- In one order: of two gateways with the same deliveries one waits, and none for the other.
    insert into :schema.webhook_deliveries (source_id, digest, user_id)
    select source, digest, user_id from firsts order by source, digest
    on conflict do nothing returning source_id, digest
  ), taken as (
    select f.n, f.source, f.user_id from firsts f join kept k on k.source_id = f.source and k.digest = f.digest
    union all
    select n, source, user_id from given where digest is null
  ), stored as (
    insert into :schema.webhook_events (user_id, source_id, entity, external_id, op)
    select t.user_id, t.source, e.entity, e.external_id, e.op
    from unnest(places, entities, external_ids, ops) with ordinality as e (place, entity, external_id, op, number)
    join taken t on t.n = e.place order by e.number
  )
  select g.n, exists (select from taken t where t.n = g.n) from given g;
end $$;

-- The entities of a source for whose waiting events a run has to be asked, with what the ask needs; no row: nothing to do.
create function :schema.headrace_webhook_need(wanted uuid)
returns table (id uuid, user_id uuid, source_type text, entities text[])
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  -- Locked as a plan locks it: a run that is still queued now has not looked for its events yet, and will find these.
  perform from :schema.external_data_sources s
    where s.id = wanted and s.sync_enabled and s.paused_at is null and not s.is_deleted for no key update;
  if not found then
    return;
  end if;
  return query
  select s.id, s.user_id, s.source_type, array_agg(distinct e.entity order by e.entity)
  from :schema.webhook_events e join :schema.external_data_sources s on s.id = e.source_id
  where e.source_id = wanted and e.run_id is null and not exists (
    select from :schema.sync_runs r join :schema.sync_run_entities x on x.run_id = r.id
    where r.source_id = wanted and r.status = 'queued' and not r.dry_run and x.entity = e.entity)
  group by s.id;
end $$;

revoke execute on function :schema.headrace_find_webhooks(uuid[]), :schema.headrace_webhook_need(uuid),
  :schema.headrace_take_deliveries(uuid[], text[], bytea[], integer[], text[], text[], text[]) from public;
grant execute on function :schema.headrace_find_webhooks(uuid[]), :schema.headrace_webhook_need(uuid),
  :schema.headrace_take_deliveries(uuid[], text[], bytea[], integer[], text[], text[], text[]) to headrace_gateway;
