-- name: server_version
select current_setting('server_version') as shown, current_setting('server_version_num')::int as number

-- name: has_ledger
select to_regclass(quote_ident($1) || '.headrace_migrations') is not null

-- name: applied
select name from headrace_migrations order by name

-- name: boxes_by_kid
select coalesce(credentials ->> 'kid', '') as kid, count(*)::int as boxes
from external_data_sources where credentials is not null and credentials <> 'null'::jsonb and not is_deleted
group by 1 order by 1

-- name: tokens_by_kid
select coalesce(tokens ->> 'kid', '') as kid, count(*)::int as boxes from oauth_grants where tokens is not null
group by 1 order by 1

-- name: halves
select kid, public_key from sealing_keys

-- name: webhook_boxes
select box from webhook_secrets
