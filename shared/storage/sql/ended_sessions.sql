-- name: end
insert into ended_sessions (session_hash, expires_at) values ($1, $2) on conflict do nothing

-- name: has_ended
select exists (select from ended_sessions where session_hash = $1) as ended

-- name: forget
delete from ended_sessions where expires_at < now()
