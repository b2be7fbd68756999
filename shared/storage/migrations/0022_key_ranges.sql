-- The first and the last key that a batch brought (of rows and deletions), in the order of their bytes. Batches whose ranges
-- lie apart cannot hold the same key: then nobody has to look for it.
alter table :schema.sync_batches
  add column first_key text collate "C",
  add column last_key text collate "C";
