-- Runs that webhooks alone have asked for read the objects that changed, and nothing else.
alter table :schema.sync_runs add column targeted boolean not null default false;
-- Ids to be read one by one, in their order; null: the entity is read as `mode` and `since` say.
alter table :schema.sync_run_entities add column targets text[] check (cardinality(targets) between 1 and 200);
-- Of the events that a run took: whether that run came to grief.
create index webhook_events_taken on :schema.webhook_events (source_id, entity) where run_id is not null;
