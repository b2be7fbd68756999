-- One-time sign-in links of the local user: the code's hash, good once and for minutes.
create table :schema.sign_in_codes (
  code_hash bytea primary key check (length(code_hash) = 32),
  user_id uuid not null,
  is_admin boolean not null,
  expires_at timestamptz not null default now() + interval '10 minutes'
);
alter table :schema.sign_in_codes enable row level security, force row level security;
revoke all on :schema.sign_in_codes from public, anon, authenticated;
create policy owner on :schema.sign_in_codes to :owner using (true) with check (true);
create policy scheduler on :schema.sign_in_codes to headrace_scheduler using (true) with check (true);
grant select (expires_at), delete on :schema.sign_in_codes to headrace_scheduler;

create function :schema.headrace_take_sign_in(wanted bytea) returns table (user_id uuid, is_admin boolean)
language sql security definer set search_path = '' as $$
  delete from :schema.sign_in_codes c where c.code_hash = wanted and c.expires_at > now() returning c.user_id, c.is_admin
$$;
revoke execute on function :schema.headrace_take_sign_in(bytea) from public;
grant execute on function :schema.headrace_take_sign_in(bytea) to headrace_gateway;
