-- name: flags
select force, dry_run from sync_runs where id = $1
