-- name: count
insert into read_meters as m (source_id, account, month, user_id, pool, reads)
values ($1, $2, date_trunc('month', now() at time zone $3)::date, $4, $5, $6)
on conflict (source_id, account, month) do update set reads = m.reads + excluded.reads, pool = excluded.pool
returning month

-- name: take_back
update read_meters set reads = reads - 1 where source_id = $1 and account = $2 and month = $3

-- name: by_account
-- The newest month of each account that was read within the last two.
with months as (
  select account, pool, month, sum(reads)::bigint as reads from read_meters
  where month > now() - interval '2 months' group by account, pool, month
)
select distinct on (a.account) a.account, a.pool, to_char(a.month, 'YYYY-MM') as month, a.reads,
  (select sum(p.reads) from months p where p.pool = a.pool and p.month = a.month)::bigint as pool_reads
from months a order by a.account, a.month desc limit $1

-- name: forget
delete from read_meters where month < now() - interval '13 months'
