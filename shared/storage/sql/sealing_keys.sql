-- name: claim
insert into sealing_keys (kid, public_key) select * from unnest($1::text[], $2::bytea[]) as half (kid, public_key) order by kid
on conflict (kid) do nothing returning kid

-- name: halves
select kid, public_key from sealing_keys where kid = any($1::text[])

-- name: first_seen
select kid, first_seen_at from sealing_keys

-- name: in_use
select kid, boxes, tokens from headrace_kids_in_use()

-- name: boxes_under
select * from headrace_boxes_under($1, $2)

-- name: waiting
select count(*) from external_data_sources
where credentials is not null and credentials <> 'null'::jsonb and credentials ->> 'kid' is distinct from $1

-- name: next_boxes
select id, user_id, source_type, config, credentials from external_data_sources
where credentials is not null and credentials <> 'null'::jsonb and credentials ->> 'kid' is distinct from $1
  and ($2::uuid is null or id > $2)
order by id limit $3

-- name: replace
update external_data_sources set credentials = $3 where id = $1 and credentials = $2 returning true

-- name: erase
update external_data_sources set credentials = null, credentials_set = '{}' where id = $1 and credentials = $2 returning true

-- name: webhook_boxes
select source_id, user_id, box from webhook_secrets where ($1::uuid is null or source_id > $1) order by source_id limit $2

-- name: replace_webhook_box
update webhook_secrets set box = $3 where source_id = $1 and box = $2 returning true
