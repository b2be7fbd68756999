-- name: claim
-- Waits for a transaction that holds the same key; after its rollback the key is free again.
insert into idempotency_keys (user_id, key, request_hash) values ($1, $2, $3)
on conflict (user_id, key) do nothing returning true as claimed

-- name: stored
select request_hash, status, location, response from idempotency_keys where user_id = $1 and key = $2

-- name: keep
update idempotency_keys set status = $3, location = $4, response = $5 where user_id = $1 and key = $2
