-- What who runs the deployment sees across tenants, and how sealed credentials move to a new key.

-- On while the gateway serves an administrator, and only in a transaction that asked for it.
create function :schema.headrace_operator() returns boolean language sql stable set search_path = '' as $$
  select coalesce(current_setting('headrace.operator', true), '') = 'on'
$$;
revoke execute on function :schema.headrace_operator() from public;
grant execute on function :schema.headrace_operator() to headrace_gateway;

-- Dead letters of every tenant, and of none. The columns and verbs are those that the gateway has already.
create policy operator on :schema.dead_letters to headrace_gateway
  using ((select :schema.headrace_operator())) with check ((select :schema.headrace_operator()));

-- A public request that is published again: it belongs to no run yet, and its bytes may be no JSON at all.
alter table :schema.outbox
  alter column user_id drop not null,
  alter column run_id drop not null,
  alter column body drop not null,
  add column raw bytea,
  add constraint outbox_one_body check ((body is null) <> (raw is null)),
  add constraint outbox_of_a_run check ((user_id is null) = (run_id is null) and (run_id is not null or queue = 'public'));
create policy again on :schema.outbox for insert to headrace_gateway
  with check (run_id is null and queue = 'public' and (select :schema.headrace_operator()));

-- A user's quarantine, newest first.
create index quarantined_records_of_user on :schema.quarantined_records (user_id, created_at desc, id desc);
