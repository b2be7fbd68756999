-- name: offer
insert into sign_in_codes (code_hash, user_id, is_admin) values ($1, $2, $3)

-- name: take
select user_id, is_admin from headrace_take_sign_in($1)

-- name: forget
delete from sign_in_codes where expires_at < now()
