-- name: hold_run
-- The run, held against a close until this transaction ends.
select status = 'running' as open from sync_runs where id = $1 for share

-- name: fence
-- A statement of its own: beside the lock it would show the entity as it was before the wait for that lock.
-- The lock on the entity keeps two first pages apart, which have no parent's row to meet at.
select mode, since, targets, targets_deleted, status = 'running' as open from sync_run_entities where run_id = $1 and entity = $2 for no key update

-- name: lock_pages
-- The parent's, the page's and the follower's rows, always in this order.
select page_no, epoch, next_cursor, is_last, batches, digest from sync_pages
where run_id = $1 and entity = $2 and page_no between $3 - 1 and $3 + 1 order by page_no for update

-- name: committed_batches
select count(*) from sync_batches where run_id = $1 and entity = $2 and page_no = $3 and epoch = $4

-- name: committed_numbers
select batch_no from sync_batches where run_id = $1 and entity = $2 and page_no = $3 and epoch = $4

-- name: record_page
insert into sync_pages (run_id, entity, page_no, user_id, epoch, cursor, next_cursor, is_last, records, batches, bytes, digest)
values ($1, $2, $3, $4, nextval('sync_epochs'), $5, $6, $7, $8, $9, $10, $11)
on conflict (run_id, entity, page_no) do update set
  epoch = excluded.epoch, cursor = excluded.cursor, next_cursor = excluded.next_cursor, is_last = excluded.is_last,
  records = excluded.records, batches = excluded.batches, bytes = excluded.bytes, digest = excluded.digest,
  missing = 0, fetched_at = now()
returning epoch

-- name: note_missing
update sync_pages set missing = $5 where run_id = $1 and entity = $2 and page_no = $3 and epoch = $4

-- name: void_marks
delete from sync_batches where run_id = $1 and entity = $2 and page_no >= $3

-- name: void_packs
-- Before the keys: what a writer unpacks meanwhile is among them then.
with packed as (
  select ctid from sync_key_packs where run_id = $1 and entity = $2 and page_no >= $3 order by page_no, batch_no for update
)
delete from sync_key_packs p using packed where p.ctid = packed.ctid

-- name: void_keys
delete from sync_keys_seen where run_id = $1 and entity = $2 and page_no >= $3

-- name: void_rejects
delete from quarantined_records where run_id = $1 and entity = $2 and page_no >= $3

-- name: void_pages
delete from sync_pages where run_id = $1 and entity = $2 and page_no >= $3

-- name: chain
select p.page_no, p.epoch, p.next_cursor, p.is_last, p.batches,
  (select count(*) from sync_batches b
   where b.run_id = p.run_id and b.entity = p.entity and b.page_no = p.page_no and b.epoch = p.epoch) as committed
from sync_pages p where p.run_id = $1 and p.entity = $2 order by p.page_no for update of p
