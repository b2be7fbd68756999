-- name: create_stage
-- One per connection and entity; emptied by every commit.
create temp table if not exists stage_:table (
  seq integer not null, page_no integer not null, batch_no integer not null,
  external_id text not null, :typed_columns, extra jsonb not null, has_lines boolean not null
) on commit delete rows;
create temp table if not exists stage_lines (
  external_id text not null, line_number integer not null, :typed_line_columns
) on commit delete rows;
create temp table if not exists stage_changed (seq integer not null, is_new boolean not null) on commit delete rows;
create temp table if not exists stage_seen (external_id text, page_no integer, batch_no integer, outcome "char") on commit delete rows

-- name: fence
-- The run stays open and this entity has one writer until the transaction ends.
select r.run_seq, e.status = 'running' and r.status = 'running' as open
from sync_runs r join sync_run_entities e on e.run_id = r.id
where r.id = $1 and e.entity = $2 for share of r

-- name: serialise_entity
select pg_advisory_xact_lock(hashtextextended($1, 7))

-- name: pages
select page_no, epoch from sync_pages where run_id = $1 and entity = $2 and page_no = any($3::int[])
order by page_no for share

-- name: marked
select page_no, batch_no from sync_batches where run_id = $1 and entity = $2 and page_no = any($3::int[])

-- name: seen_before
-- Keys of this stage that other batches of this run have seen, with the place that counts there.
select s.seq, s.external_id, k.page_no, k.batch_no, k.outcome
from stage_:table s
join sync_keys_seen k on k.run_id = $1 and k.entity = $2 and k.external_id = s.external_id
where k.outcome in ('i', 'u', 's')

-- name: unstage
delete from stage_:table where seq = any($1::int[])

-- name: demote
-- A higher page has the key: what was counted there is a duplicate now.
update sync_keys_seen set outcome = 'd'
where run_id = $1 and entity = $2 and external_id = $3 and page_no = $4 and batch_no = $5

-- name: demote_mark
update sync_batches set duplicates = duplicates + 1,
  inserted = inserted - ($5 = 'i')::int, updated = updated - ($5 = 'u')::int, unchanged = unchanged - ($5 = 's')::int
where run_id = $1 and entity = $2 and page_no = $3 and batch_no = $4

-- name: probe_by_index
-- A stage is small and the target is not: joins must probe the target's index, never hash or sort all of it.
set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_seqscan = off

-- name: probe_any
set local enable_hashjoin = on; set local enable_mergejoin = on; set local enable_seqscan = on

-- name: changed_rows
insert into stage_changed (seq, is_new)
select s.seq, t.id is null
from stage_:table s left join :table t on t.source_id = $1 and t.external_id = s.external_id
where t.id is null or t.deleted_at is not null or (:target_compared) is distinct from (:stage_compared)

-- name: changed_lines
-- Orders whose own fields are equal but whose lines are not.
insert into stage_changed (seq, is_new)
select s.seq, false
from stage_purchase_orders s join purchase_orders o on o.source_id = $1 and o.external_id = s.external_id
where s.has_lines and not exists (select from stage_changed c where c.seq = s.seq) and (
  exists (
    select from stage_lines n
    left join purchase_order_lines l on l.purchase_order_id = o.id and l.line_number = n.line_number
    where n.external_id = s.external_id and (l.id is null or (:target_line_columns) is distinct from (:stage_line_columns)))
  or exists (
    select from purchase_order_lines l where l.purchase_order_id = o.id and not exists (
      select from stage_lines n where n.external_id = s.external_id and n.line_number = l.line_number)))

-- name: upsert
insert into :table (user_id, source_id, source_system, external_id, :columns, extra)
select $1, $2, $3, s.external_id, :stage_columns, s.extra
from stage_:table s join stage_changed c using (seq)
order by s.external_id
on conflict (source_id, external_id) do update set
  :assignments, extra = excluded.extra, last_changed_at = now(), deleted_at = null

-- name: drop_lines
delete from purchase_order_lines l using stage_purchase_orders s
join stage_changed c using (seq)
join purchase_orders o on o.source_id = $1 and o.external_id = s.external_id
where l.purchase_order_id = o.id and s.has_lines
  and not exists (select from stage_lines n where n.external_id = s.external_id and n.line_number = l.line_number)

-- name: upsert_lines
insert into purchase_order_lines (purchase_order_id, user_id, line_number, :line_columns)
select o.id, $2, n.line_number, :stage_line_columns
from stage_lines n
join stage_purchase_orders s using (external_id)
join stage_changed c using (seq)
join purchase_orders o on o.source_id = $1 and o.external_id = n.external_id
order by o.external_id, n.line_number
on conflict (purchase_order_id, line_number) do update set :line_assignments

-- name: outcomes
-- What became of the staged rows that are not unchanged.
select s.page_no, s.batch_no, s.external_id, c.is_new from stage_changed c join stage_:table s using (seq)

-- name: remember_staged
insert into sync_keys_seen (run_id, entity, external_id, page_no, batch_no, user_id, outcome)
select $1, $2, s.external_id, s.page_no, s.batch_no, $3,
  case when c.seq is null then 's' when c.is_new then 'i' else 'u' end::"char"
from stage_:table s left join stage_changed c using (seq)
order by s.external_id

-- name: remember_others
insert into sync_keys_seen (run_id, entity, external_id, page_no, batch_no, user_id, outcome)
select $1, $2, external_id, page_no, batch_no, $3, outcome from stage_seen order by external_id

-- name: outcome_of
select outcome from sync_keys_seen
where run_id = $1 and entity = $2 and external_id = $3 and page_no = $4 and batch_no = $5

-- name: promote
-- This row was first counted elsewhere as inserted or updated; that outcome moves here with the key.
update sync_keys_seen set outcome = $6
where run_id = $1 and entity = $2 and external_id = $3 and page_no = $4 and batch_no = $5

-- name: mark
insert into sync_batches (run_id, entity, page_no, batch_no, user_id, epoch, read, inserted, updated, unchanged, filtered,
  duplicates, quarantined, keys, keyless, max_updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)

-- name: quarantine
insert into quarantined_records (user_id, source_id, run_id, entity, page_no, batch_no, external_id, field, reason, raw,
  mapping_version)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
