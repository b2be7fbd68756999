-- A run that read with an older config or mapping must not move a cursor that a change of them has just forgotten.
grant select (config, mapping_version) on :schema.external_data_sources to headrace_writer, headrace_scheduler;

-- A user sees that a run of theirs still waits for the broker; of the row no more than that.
create policy own on :schema.outbox for select to authenticated using (user_id = (select auth.uid()));
grant select (run_id, user_id, created_at) on :schema.outbox to authenticated;
