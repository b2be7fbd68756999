-- name: server_version
select current_setting('server_version') as shown, current_setting('server_version_num')::int as number

-- name: has_ledger
select to_regclass(quote_ident($1) || '.headrace_migrations') is not null

-- name: applied
select name from headrace_migrations order by name

-- name: in_use
select kid, boxes, tokens from headrace_kids_in_use()

-- name: halves
select kid, public_key from sealing_keys

-- name: webhook_boxes
select box from webhook_secrets
