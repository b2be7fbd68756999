-- name: ensure
insert into oauth_grants as g (id, user_id, used_by, origins) values ($1, $2, array[$3::uuid], $4)
on conflict (id) do update set origins = $4,
  used_by = case when g.used_by @> array[$3::uuid] then g.used_by else array_append(g.used_by, $3) end
where not g.used_by @> array[$3::uuid] or g.origins is null

-- name: read
select used_by @> array[$2::uuid] and origins is not null as known, version, tokens, attempt, attempt_answered, reconnect_since, reconnect_reason,
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

-- name: waiting
-- This and what follows: for the role headrace_keys.
select count(*) from oauth_grants where tokens is not null and tokens ->> 'kid' is distinct from $1

-- name: next_waiting
select id from oauth_grants
where tokens is not null and tokens ->> 'kid' is distinct from $1 and ($2::uuid is null or id > $2) order by id limit 1

-- name: sealed
select user_id, origins, tokens from oauth_grants where id = $1 and tokens is not null

-- name: users
select distinct s.source_type, s.config from oauth_grants g
join external_data_sources s on s.id = any(g.used_by) and s.user_id = g.user_id where g.id = $1

-- name: reseal
-- The version stays: they are the same tokens.
update oauth_grants set tokens = $2 where id = $1

-- name: erase
update oauth_grants set tokens = null, obtained_at = null, expires_at = null where id = $1
