-- name: list
-- A record may be a megabyte: the answer ends early, though never empty, when the raw texts add up to more than $8 bytes.
with wanted as (
  select id, source_id, run_id, entity, external_id, field, reason, raw, mapping_version, created_at, resolved_at
  from quarantined_records
  where ($1::uuid is null or source_id = $1) and ($2::uuid is null or run_id = $2) and ($3::text is null or entity = $3)
    and ($4 or resolved_at is null)
    and ($5::timestamptz is null or (created_at, id) < ($5, $6::uuid))
  order by created_at desc, id desc limit $7
),
measured as (
  select w.*, row_number() over page as nth, sum(octet_length(raw)) over page as bytes, count(*) over () as available
  from wanted w window page as (order by created_at desc, id desc)
)
select id, source_id, run_id, entity, external_id, field, reason, raw, mapping_version, created_at, resolved_at, available
from measured where nth = 1 or bytes <= $8 order by nth
