-- Every value of a target in one digest; `records.digest` makes the same of the generator's records.
select count(*) as rows, md5(string_agg(
  concat_ws('|', sku, name, quantity::bigint, supplier, to_char(unit_cost::numeric, 'FM999999990.00'),
    to_char(updated_at::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
  E'\n' order by sku collate "C")) as digest
from :target
