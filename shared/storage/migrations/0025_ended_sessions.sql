-- Browser sessions that somebody signed out of before their end: the cookie is sealed and complete, so it would go on counting.
create table :schema.ended_sessions (
  session_hash bytea primary key check (length(session_hash) = 32),
  expires_at timestamptz not null                       -- the session's own end; from then on the row is of no use
);
alter table :schema.ended_sessions enable row level security, force row level security;
revoke all on :schema.ended_sessions from public, anon, authenticated;
create policy owner on :schema.ended_sessions to :owner using (true) with check (true);
create policy gateway on :schema.ended_sessions to headrace_gateway using (true) with check (true);
create policy scheduler on :schema.ended_sessions to headrace_scheduler using (true) with check (true);
grant select, insert on :schema.ended_sessions to headrace_gateway;
grant select (expires_at), delete on :schema.ended_sessions to headrace_scheduler;
