-- name: ensure
insert into oauth_grants as g (id, user_id, used_by) values ($1, $2, array[$3::uuid])
on conflict (id) do update set used_by = array_append(g.used_by, $3) where not g.used_by @> array[$3::uuid]

-- name: read
select used_by @> array[$2::uuid] as known, version, tokens, attempt, attempt_answered, reconnect_since, reconnect_reason,
  extract(epoch from expires_at - clock_timestamp())::float8 as remaining,
  extract(epoch from expires_at - obtained_at)::float8 as life,
  extract(epoch from clock_timestamp() - attempted_at)::float8 as attempt_age
from oauth_grants where id = $1

-- name: lock
-- Waits for whoever is refreshing. A statement of its own: the row is then read again, as its holder left it.
select from oauth_grants where id = $1 for no key update

-- name: begin
update oauth_grants set attempt = $2, attempted_at = clock_timestamp(), attempt_answered = false, used_at = now() where id = $1

-- name: answered
update oauth_grants set attempt_answered = true where id = $1 and attempt = $2

-- name: store
-- Times count from the transaction's start, which was before the call.
update oauth_grants set version = version + 1, tokens = $3, obtained_at = now(), expires_at = now() + make_interval(secs => $4),
  refresh_expires_at = now() + make_interval(secs => $5), attempt = null, attempt_answered = false, reconnect_since = null,
  reconnect_reason = null, used_at = now()
where id = $1 and attempt = $2 returning version

-- name: refuse
update oauth_grants set reconnect_since = now(), reconnect_reason = $3, attempt_answered = true where id = $1 and attempt = $2

-- name: forget
delete from oauth_grants where used_at < now() - interval '200 days'
