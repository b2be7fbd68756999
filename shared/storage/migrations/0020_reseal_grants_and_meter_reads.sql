-- What a consent's tokens are bound to, so that `headrace keys rotate` can seal them anew; null until they are used next.
alter table :schema.oauth_grants add column origins text[];
create policy reseal on :schema.oauth_grants to headrace_keys using (true) with check (true);
grant select (id, user_id, used_by, origins, tokens), update (tokens, obtained_at, expires_at)
  on :schema.oauth_grants to headrace_keys;

-- How much each key's name still holds: credentials of sources, and tokens of consents; no box.
drop function :schema.headrace_kids_in_use();
create function :schema.headrace_kids_in_use() returns table (kid text, boxes bigint, tokens bigint)
language sql stable security definer set search_path = '' as $$
  select b.kid, count(*) filter (where not b.consent), count(*) filter (where b.consent) from (
    select coalesce(s.credentials ->> 'kid', '') as kid, false as consent from :schema.external_data_sources s
    where s.credentials is not null and s.credentials <> 'null'::jsonb
    union all select coalesce(g.tokens ->> 'kid', ''), true from :schema.oauth_grants g where g.tokens is not null
  ) b group by 1 order by 1
$$;
revoke execute on function :schema.headrace_kids_in_use() from public;
grant execute on function :schema.headrace_kids_in_use() to headrace_fetcher, headrace_gateway, headrace_keys;

-- When an entity was last read, whether or not its vendor told of a change: how long it slept. Null: before this.
alter table :schema.sync_cursors add column read_at timestamptz;
