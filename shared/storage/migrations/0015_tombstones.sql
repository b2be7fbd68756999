-- Deletions that an incremental read reports: counted on the batch that brought them.
alter table :schema.sync_batches add column deleted integer not null default 0;
comment on column :schema.sync_keys_seen.outcome is
  'i(nserted) u(pdated) s(ame) d(uplicate) q(uarantined), or of a deletion: x (a row went) g (there was none)';
