-- name: insert
insert into api_tokens (id, user_id, name, prefix, secret_hash, scopes, expires_at) values ($1, $2, $3, $4, $5, $6, $7)

-- name: find
select id, user_id, secret_hash, scopes, expires_at from headrace_find_token($1)

-- name: used
select headrace_token_used($1)

-- name: list
select id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at from api_tokens
where $1::timestamptz is null or (created_at, id) < ($1, $2::uuid)
order by created_at desc, id desc limit $3

-- name: one
select id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at from api_tokens where id = $1

-- name: revoke
update api_tokens set revoked_at = now() where id = $1 and revoked_at is null returning true as revoked
