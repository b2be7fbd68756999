-- name: end
insert into ended_sessions (session_hash, expires_at) values ($1, $2) on conflict do nothing

-- name: has_ended
select exists (select from ended_sessions where session_hash = $1) as ended

-- name: forget
-- Sessions end by the gateways' clocks: one that is behind the database's would take an ended session again.
delete from ended_sessions where expires_at < now() - interval '1 hour'
