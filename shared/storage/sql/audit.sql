-- name: record
insert into audit_log (user_id, actor, actor_id, action, object_type, object_id, details)
values ($1, $2, $3, $4, $5, $6, $7)

-- name: list
select id, at, actor, actor_id, action, object_type, object_id, details from audit_log
where ($1::timestamptz is null or (at, id) < ($1, $2::uuid))
  and ($3::text is null or object_id = $3) and ($4::text is null or action = $4)
order by at desc, id desc limit $5
