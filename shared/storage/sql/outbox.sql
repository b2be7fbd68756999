-- name: add
insert into outbox (user_id, run_id, queue, kind, body) values ($1, $2, $3, $4, $5) returning id

-- name: add_again
insert into outbox (queue, kind, raw) values ('public', $1, $2) returning id

-- name: take
-- Locked until the publisher's transaction ends: two publishers never hold the same row, a crash gives it back.
select id, queue, kind, body, raw from outbox where id = any($1::bigint[]) order by id for update skip locked

-- name: take_due
select id, queue, kind, body, raw from outbox where created_at < now() - make_interval(secs => $1)
order by id limit $2 for update skip locked

-- name: remove
delete from outbox where id = any($1::bigint[])

-- name: depth
select count(*) as depth, coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest from outbox
