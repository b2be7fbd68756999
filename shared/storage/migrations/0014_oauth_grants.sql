-- What a vendor's sign-in gave us: one row per consent, its tokens sealed. The row's lock is what keeps two workers from
-- refreshing at once. Seen by the fetcher alone.

create table :schema.oauth_grants (
  id uuid primary key,                                  -- hash of tenant, account and the consent's own token
  user_id uuid not null,
  used_by uuid[] not null default '{}',                 -- sources (and connection tests) that came with this consent
  version bigint not null default 0,                    -- counts up with every stored reply
  tokens jsonb,                                         -- sealed; null: only the consent's own token is known
  obtained_at timestamptz,
  expires_at timestamptz,                               -- of the access token
  refresh_expires_at timestamptz,
  attempt uuid,                                         -- a refresh that has begun; null once its outcome is stored
  attempted_at timestamptz,
  attempt_answered boolean not null default false,      -- the vendor answered it, so nothing is under way
  reconnect_since timestamptz,                          -- the vendor refuses the consent: only a new one helps
  reconnect_reason text,
  created_at timestamptz not null default now(),
  used_at timestamptz not null default now()
);
create index oauth_grants_used_by on :schema.oauth_grants using gin (used_by);

alter table :schema.oauth_grants enable row level security, force row level security;
revoke all on :schema.oauth_grants from public, anon, authenticated;
grant select, insert, update, delete on :schema.oauth_grants to service_role;
create policy service on :schema.oauth_grants to service_role using (true) with check (true);
create policy owner on :schema.oauth_grants to :owner using (true) with check (true);
create policy tenant on :schema.oauth_grants to headrace_fetcher
  using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()));
create policy scheduler on :schema.oauth_grants to headrace_scheduler using (true) with check (true);
grant select, insert, update on :schema.oauth_grants to headrace_fetcher;
grant select (id, used_at), delete on :schema.oauth_grants to headrace_scheduler;

-- A deleted source takes its tokens along, unless another source lives on the same consent.
create function :schema.forget_oauth_grants() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from :schema.oauth_grants g
  where g.used_by @> array[new.id] and g.user_id = new.user_id and not exists (
    select from :schema.external_data_sources s
    where s.id = any(g.used_by) and s.id <> new.id and not s.is_deleted);
  return new;
end $$;
revoke execute on function :schema.forget_oauth_grants() from public;
create trigger forget_oauth_grants after update of is_deleted on :schema.external_data_sources
  for each row when (new.is_deleted and not old.is_deleted) execute function :schema.forget_oauth_grants();
