-- name: create_stage
-- One per connection and entity; emptied by every commit. `extra` follows for the rows that are to be written, by themselves:
-- most are equal to what is there, and of those nobody reads it.
create temp table if not exists stage_:table (
  seq integer not null, external_id text not null, :typed_columns, has_lines boolean not null
) on commit delete rows;
create temp table if not exists stage_extra (seq integer not null, extra text not null) on commit delete rows;
create temp table if not exists stage_lines (
  external_id text not null, place integer not null, line_number integer not null, :typed_line_columns
) on commit delete rows;
create index if not exists stage_lines_order on stage_lines (external_id);
create temp table if not exists stage_changed (seq integer not null, is_new boolean not null, differs boolean not null)
  on commit delete rows

-- name: hold_run
-- The run stays open until the transaction ends.
select status = 'running' as open from sync_runs where id = $1 for share

-- name: open_and_marked
-- A row or more where the entity is open: the batches of these pages and numbers that are written already, or null.
-- A statement of its own: beside the lock it would show the entity as it was before the wait for that lock.
select b.page_no, b.batch_no
from sync_run_entities e left join sync_batches b
  on b.run_id = e.run_id and b.entity = e.entity and b.page_no = any($3::int[]) and b.batch_no = any($4::int[])
where e.run_id = $1 and e.entity = $2 and e.status = 'running'

-- name: serialise_entity
select pg_advisory_xact_lock(hashtextextended($1, 7))

-- name: pages
select page_no, epoch from sync_pages where run_id = $1 and entity = $2 and page_no = any($3::int[])
order by page_no for share

-- name: marked
select page_no, batch_no from sync_batches where run_id = $1 and entity = $2 and page_no = any($3::int[])

-- name: may_be_seen
-- Whether another batch of this run can hold a key of these: the marks know the first and the last key of each batch, so a
-- source that reads in the order of its keys needs no look at them. Marks of an older release do not know theirs.
select exists (
  select from sync_batches b
  where b.run_id = $1 and b.entity = $2 and b.keys > 0 and (b.first_key is null or exists (
    select from unnest($3::text[], $4::text[]) as r (first_key, last_key)
    where b.last_key >= r.first_key collate "C" and b.first_key <= r.last_key collate "C")))

-- name: unpack_keys
-- What the batches before have seen, to where it can be looked for. Whoever voids pages locks packs in this order too.
with packed as (
  select p.ctid from sync_key_packs p
  where p.run_id = $1 and p.entity = $2 and exists (
    select from sync_batches b
    where b.run_id = p.run_id and b.entity = p.entity and b.page_no = p.page_no and b.batch_no = p.batch_no)
  order by p.page_no, p.batch_no for update
), taken as (
  delete from sync_key_packs p using packed where p.ctid = packed.ctid returning p.*
)
insert into sync_keys_seen (run_id, entity, external_id, page_no, batch_no, user_id, outcome)
select t.run_id, t.entity, k.external_id, t.page_no, t.batch_no, t.user_id, k.outcome::"char"
from taken t cross join lateral unnest(t.keys, string_to_array(t.outcomes, null)) as k (external_id, outcome)
order by k.external_id

-- name: seen_before
-- Keys of this stage that other batches of this run have seen, with the place that counts there.
-- lateral … offset 0: probe the index once per staged row. Left to itself the planner, which knows nothing of a run
-- that began a moment ago, may walk all of the run's keys for every staged row.
select s.seq, s.external_id, k.page_no, k.batch_no, k.outcome
from stage_:table s cross join lateral (
  select k.page_no, k.batch_no, k.outcome from sync_keys_seen k
  where k.run_id = $1 and k.entity = $2 and k.external_id = s.external_id and k.outcome in ('i', 'u', 's', 'x', 'g') offset 0
) k

-- name: unstage
delete from stage_:table where seq = any($1::int[])

-- name: seen_of
-- The same for keys that are to be deleted.
select k.external_id, k.page_no, k.batch_no, k.outcome from sync_keys_seen k
where k.run_id = $1 and k.entity = $2 and k.external_id = any($3::text[]) and k.outcome in ('i', 'u', 's', 'x', 'g')

-- name: demote
-- A higher page has the key: what was counted there is a duplicate now.
update sync_keys_seen set outcome = 'd'
where run_id = $1 and entity = $2 and external_id = $3 and page_no = $4 and batch_no = $5

-- name: demote_mark
update sync_batches set duplicates = duplicates + ($5 in ('i', 'u', 's'))::int, deleted = deleted - ($5 = 'x')::int,
  inserted = inserted - ($5 = 'i')::int, updated = updated - ($5 = 'u')::int, unchanged = unchanged - ($5 = 's')::int
where run_id = $1 and entity = $2 and page_no = $3 and batch_no = $4

-- name: changed_rows
-- What is to be written (differs), and what this run has inserted or updated, be it by a batch that was voided since:
-- runs of a source are serial, so a row that changed after the run's start was changed by this run (people's edits have a
-- time of their own). Equal rows are only
-- read: no lock, no write. `offset 0` as above: the stage is small and the target is not, so it must be probed, never
-- hashed or sorted as a whole.
insert into stage_changed (seq, is_new, differs)
select s.seq, t.id is null or t.first_seen_at >= $2, x.differs
from stage_:table s left join lateral (
  select * from :table t where t.source_id = $1 and t.external_id = s.external_id offset 0
) t on true
cross join lateral (select
  t.id is null or t.deleted_at is not null or (:target_compared) is distinct from (:stage_compared) or :lines_differ as differs) x
where x.differs or t.last_changed_at >= $2

-- name: lines_differ
s.has_lines and exists (
  (select :line_identity_and_columns from stage_lines n where n.external_id = s.external_id
   except all
   select :target_line_identity_and_columns from purchase_order_lines l where l.purchase_order_id = t.id)
  union all
  (select :target_line_identity_and_columns from purchase_order_lines l where l.purchase_order_id = t.id
   except all
   select :line_identity_and_columns from stage_lines n where n.external_id = s.external_id))

-- name: keep_extras
-- Where all were staged beforehand: those of the rows that are to be written.
delete from stage_extra e where not exists (select from stage_changed c where c.seq = e.seq and c.differs)

-- name: upsert
-- The stage of extras holds the rows that are to be written, and no others.
-- Ids that grow with time (UUID version 7, RFC 9562), here the time and chance of the statement and the row's place in the
-- stage: random ones would bring every new row to another page of two indexes, and ask the system for chance each time.
insert into :table (id, user_id, source_id, source_system, external_id, :columns, extra)
select (i.start || lpad(to_hex(s.seq), 5, '0'))::uuid, $1, $2, $3, s.external_id, :stage_columns, e.extra::jsonb
from stage_:table s join stage_extra e using (seq) cross join (
  select lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14, 14) as start offset 0) i
order by s.external_id
on conflict (source_id, external_id) do update set
  :assignments, extra = excluded.extra, last_changed_at = now(), deleted_at = null

-- name: drop_lines
delete from purchase_order_lines l using stage_purchase_orders s
join stage_changed c using (seq)
join purchase_orders o on o.source_id = $1 and o.external_id = s.external_id
where l.purchase_order_id = o.id and s.has_lines
  and c.differs and not exists (select from stage_lines n where n.external_id = s.external_id and n.line_number = l.line_number)

-- name: upsert_lines
insert into purchase_order_lines as l (purchase_order_id, user_id, place, line_number, :line_columns)
select o.id, $2, n.place, n.line_number, :stage_line_columns
from stage_lines n
join stage_purchase_orders s using (external_id)
join stage_changed c using (seq)
join purchase_orders o on o.source_id = $1 and o.external_id = n.external_id
where c.differs
order by o.external_id, n.line_number
on conflict (purchase_order_id, line_number) do update set place = excluded.place, :line_assignments
where (coalesce(l.place, l.line_number), :target_line_columns) is distinct from (excluded.place, :excluded_line_columns)

-- name: delete_gone
update :table t set deleted_at = now(), last_changed_at = now()
from (select unnest($2::text[]) as external_id) g
where t.source_id = $1 and t.external_id = g.external_id and t.deleted_at is null

-- name: deleted_by_run
-- Also by a batch of it that was voided since; in a dry run, what would be deleted.
select external_id from :table
where source_id = $1 and external_id = any($2::text[]) and (deleted_at is null or deleted_at >= $3)

-- name: outcomes
-- What became of the staged rows that are not unchanged.
select seq, is_new, differs from stage_changed

-- name: remember_keys
insert into sync_key_packs (run_id, entity, page_no, batch_no, user_id, keys, outcomes) values ($1, $2, $3, $4, $5, $6, $7)
-- What is there already has no mark: a service of an older release, which knows of no packs, has voided its batch.
on conflict (run_id, entity, page_no, batch_no) do update set keys = excluded.keys, outcomes = excluded.outcomes

-- name: mark
insert into sync_batches (run_id, entity, page_no, batch_no, user_id, epoch, read, inserted, updated, unchanged, filtered,
  duplicates, quarantined, keys, keyless, max_updated_at, deleted, first_key, last_key)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)

-- name: quarantine
insert into quarantined_records (user_id, source_id, run_id, entity, page_no, batch_no, external_id, field, reason, raw,
  mapping_version)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
