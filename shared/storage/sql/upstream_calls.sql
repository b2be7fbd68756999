-- name: add
insert into upstream_calls (scope, minute, calls) values ($1, date_trunc('minute', now()), $2)
on conflict (scope, minute) do update set calls = upstream_calls.calls + excluded.calls
returning minute

-- name: take_back
update upstream_calls set calls = calls - 1 where scope = $1 and minute = $2

-- name: last_hour
select extract(epoch from least(minute + interval '1 minute', now()))::float8 as until, calls
from upstream_calls where scope = $1 and minute > now() - interval '61 minutes' order by minute

-- name: forget
delete from upstream_calls where minute < now() - interval '2 hours'

-- name: by_account
select scope, coalesce(sum(calls) filter (where minute = date_trunc('minute', now())), 0)::int as this_minute,
  sum(calls)::int as last_hour, max(minute) as last_call_minute
from upstream_calls where minute > now() - interval '60 minutes' group by scope order by scope limit $1
