-- name: insert
insert into connection_probes (id, user_id, source_type, config, credentials, source_id) values ($1, $2, $3, $4, $5, $6)

-- name: remove
delete from connection_probes where id = $1

-- name: bind
select headrace_bind_probe($1)

-- name: load
-- A probe of a stored source uses that source's own credentials and limits.
select p.id, p.user_id, p.source_type, p.config, p.source_id,
  coalesce(p.credentials, get_external_source_credentials(p.source_id)) as credentials,
  coalesce((select s.rate_limit from external_data_sources s where s.id = p.source_id), '{}'::jsonb) as rate_limit
from connection_probes p where p.id = $1 and p.expires_at > now()
