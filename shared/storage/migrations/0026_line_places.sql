-- Where a line stands in its order at the source, from 1: its number is what the source calls it, and need not rise.
-- Null where that is its number, in lines written before.
alter table :schema.purchase_order_lines add column place integer;

update :schema.purchase_order_lines l set place = p.place
from (
  select id, row_number() over (partition by purchase_order_id order by line_number) as place
  from :schema.purchase_order_lines
) p
where p.id = l.id and p.place <> l.line_number;
