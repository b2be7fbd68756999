-- name: act
select set_config('headrace.operator', 'on', true)

-- name: bind
select set_config('headrace.tenant', $1, true)
