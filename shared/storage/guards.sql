-- Run after the migrations, each time. A platform may grant every new function in a schema to its own roles by default
-- (Supabase does, to anon, authenticated and service_role); revoking from PUBLIC does not take that back.
do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = :schema_text and p.proowner = current_user::regrole
      and (p.proname like 'headrace\_%' or p.proname in ('touch_updated_at', 'check_status_step', 'refuse_change', 'forget_oauth_grants',
        'get_external_source_credentials', 'increment_rate_limit', 'update_sync_status'))
  loop
    execute format('revoke execute on function %s from public, anon, authenticated, service_role', f);
  end loop;
end $$;
grant execute on function :schema.get_external_source_credentials(uuid), :schema.increment_rate_limit(uuid, integer),
  :schema.update_sync_status(uuid, text, text, integer) to service_role;
