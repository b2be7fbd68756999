-- A consent under way at a vendor's page, one per source: the newest counts. Of its state and of what binds it to a
-- browser only hashes are kept. Seen by the gateway alone; deleted on use.
create table :schema.oauth_states (
  source_id uuid primary key,
  user_id uuid not null,
  state_hash bytea not null check (length(state_hash) = 32),
  binding bytea not null check (length(binding) = 32),  -- of the session, or of the cookie, that began it
  redirect_uri text not null,
  actor text not null,
  actor_id text not null,
  expires_at timestamptz not null default now() + interval '10 minutes',
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);

-- What came back, for the fetcher to exchange: good once and for minutes, removed by whoever has the answer.
create table :schema.oauth_codes (
  id uuid primary key,
  user_id uuid not null,
  source_id uuid not null,
  box jsonb not null,                                   -- the code, sealed
  redirect_uri text not null,
  config jsonb not null,                                -- of the source, as it was when the code came
  renewed_config jsonb not null,                        -- with the account that the consent is for
  actor text not null,
  actor_id text not null,
  taken_at timestamptz,                                 -- a code that was shown to the vendor is not shown again
  expires_at timestamptz not null default now() + interval '2 minutes',
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
);
create index oauth_codes_source on :schema.oauth_codes (source_id);

do $$
declare
  t text;
begin
  foreach t in array array['oauth_states', 'oauth_codes'] loop
    execute format('alter table :schema.%I enable row level security, force row level security', t);
    execute format('revoke all on :schema.%I from public, anon, authenticated', t);
    execute format('create policy owner on :schema.%I to :owner using (true) with check (true)', t);
    execute format('create policy scheduler on :schema.%I to headrace_scheduler using (true) with check (true)', t);
    execute format('grant select (expires_at), delete on :schema.%I to headrace_scheduler', t);
    execute format(
      'create policy tenant on :schema.%I to headrace_gateway, headrace_fetcher '
      'using (user_id = (select :schema.headrace_tenant())) with check (user_id = (select :schema.headrace_tenant()))', t);
  end loop;
end $$;
grant select, insert, update, delete on :schema.oauth_states to headrace_gateway;
grant insert, select (id, user_id), delete on :schema.oauth_codes to headrace_gateway;
grant select, update (taken_at) on :schema.oauth_codes to headrace_fetcher;

-- The fetcher's first statement: binds the transaction to the tenant of the row, whatever a message says.
create function :schema.headrace_bind_consent(wanted uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform set_config('headrace.tenant', coalesce(
    (select c.user_id::text from :schema.oauth_codes c where c.id = wanted and c.expires_at > now()), ''), true);
end $$;

-- What the exchange brought, in place of what the source had: the one way in which the fetcher may change a source, and
-- only one whose owner has just consented. False when somebody changed the source meanwhile. `opened`: the box whose
-- content the new one carries on.
create function :schema.headrace_keep_consent(wanted uuid, opened jsonb, renewed jsonb, names text[]) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  c :schema.oauth_codes;
  moved boolean;
begin
  delete from :schema.oauth_codes k where k.id = wanted and k.taken_at is not null
    and k.user_id = nullif(current_setting('headrace.tenant', true), '')::uuid returning * into c;
  if not found then
    return false;
  end if;
  moved := c.renewed_config <> c.config;
  update :schema.external_data_sources s
    set config = c.renewed_config, credentials = renewed, credentials_set = names
    where s.id = c.source_id and s.user_id = c.user_id and not s.is_deleted
      and s.config = c.config and s.credentials = opened;
  if not found then
    return false;
  end if;
  if moved then -- another company: what was read so far says nothing about it
    delete from :schema.sync_cursors k where k.source_id = c.source_id;
  end if;
  insert into :schema.audit_log (user_id, actor, actor_id, action, object_type, object_id, details)
    values (c.user_id, c.actor, c.actor_id, 'source.consented', 'source', c.source_id::text,
      jsonb_build_object('account_changed', moved));
  return true;
end $$;
revoke execute on function :schema.headrace_bind_consent(uuid),
  :schema.headrace_keep_consent(uuid, jsonb, jsonb, text[]) from public;
grant execute on function :schema.headrace_bind_consent(uuid),
  :schema.headrace_keep_consent(uuid, jsonb, jsonb, text[]) to headrace_fetcher;
