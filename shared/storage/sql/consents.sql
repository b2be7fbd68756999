-- name: begin
insert into oauth_states as o (source_id, user_id, state_hash, binding, redirect_uri, actor, actor_id)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (source_id) do update set state_hash = excluded.state_hash, binding = excluded.binding,
  redirect_uri = excluded.redirect_uri, actor = excluded.actor, actor_id = excluded.actor_id,
  expires_at = now() + interval '10 minutes'

-- name: take_state
delete from oauth_states where state_hash = $1 and binding = $2 and expires_at > now()
returning source_id, redirect_uri, actor, actor_id

-- name: insert_code
insert into oauth_codes (id, user_id, source_id, box, redirect_uri, config, renewed_config, actor, actor_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: remove_code
delete from oauth_codes where id = $1

-- name: bind
select headrace_bind_consent($1)

-- name: take_code
with taken as (
  update oauth_codes set taken_at = now() where id = $1 and taken_at is null and expires_at > now()
  returning id, user_id, source_id, box, redirect_uri, renewed_config
)
select t.*, s.source_type, s.rate_limit, get_external_source_credentials(t.source_id) as credentials
from taken t join external_data_sources s on s.id = t.source_id and not s.is_deleted

-- name: keep
select headrace_keep_consent($1, $2, $3, $4)

-- name: forget_states
delete from oauth_states where expires_at < now()

-- name: forget_codes
delete from oauth_codes where expires_at < now()
