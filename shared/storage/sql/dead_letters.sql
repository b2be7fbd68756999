-- name: store
-- The same letter twice is one row; after a replay that failed the same way it is open again.
insert into dead_letters (id, user_id, run_id, source_id, entity, queue, kind, category, reason, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (id) do update set created_at = now(), replayed_at = null
returning id
