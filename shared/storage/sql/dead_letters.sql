-- name: store
insert into dead_letters (user_id, run_id, source_id, entity, queue, kind, category, reason, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id
