-- name: store
-- The same letter twice is one row; after a replay that failed the same way it is open again.
insert into dead_letters (id, user_id, run_id, source_id, entity, queue, kind, category, reason, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (id) do update set created_at = now(), replayed_at = null
returning id

-- name: list
select id, user_id, run_id, source_id, entity, queue, kind, category, reason, octet_length(body) as bytes, created_at,
  replayed_at, replay_run_id
from dead_letters
where ($1::uuid is null or id = $1) and ($2 or replayed_at is null)
  and ($3::timestamptz is null or (created_at, id) < ($3, $4::uuid))
order by created_at desc, id desc limit $5

-- name: lock
select body from dead_letters where id = $1 for update

-- name: mark_replayed
update dead_letters set replayed_at = now(), replay_run_id = $2 where id = $1

-- name: remove
delete from dead_letters where id = $1
