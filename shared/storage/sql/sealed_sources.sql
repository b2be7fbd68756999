-- name: of_source
select user_id, source_type, rate_limit, get_external_source_credentials(id) as credentials
from external_data_sources where id = $1 and not is_deleted
