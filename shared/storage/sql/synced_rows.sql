-- name: inventory
-- Numbers as text: every digit as it was stored.
select id, source_id, source_system, external_id, sku, name, description, category, status,
  quantity_on_hand::text, quantity_on_order::text, quantity_reserved::text, reorder_point::text, reorder_quantity::text,
  unit_cost::text, unit_price::text, currency, unit_of_measure, barcode, location, preferred_vendor_id,
  source_updated_at, extra, first_seen_at, greatest(last_changed_at, edited_at) as last_changed_at, deleted_at
from inventory
where user_id = $1 and ($2::uuid is null or source_id = $2) and ($3::timestamptz is null or greatest(last_changed_at, edited_at) >= $3)
  and ($4 or deleted_at is null) and ($5::uuid is null or id > $5) and ($7::uuid is null or id = $7)
order by id limit $6

-- name: vendors
select id, source_id, source_system, external_id, name, contact_name, contact_email, contact_phone, address, website,
  payment_terms, currency, lead_time_days, status, notes, source_updated_at, extra, first_seen_at, greatest(last_changed_at, edited_at) as last_changed_at, deleted_at
from vendors
where user_id = $1 and ($2::uuid is null or source_id = $2) and ($3::timestamptz is null or greatest(last_changed_at, edited_at) >= $3)
  and ($4 or deleted_at is null) and ($5::uuid is null or id > $5) and ($7::uuid is null or id = $7)
order by id limit $6

-- name: purchase_orders
select id, source_id, source_system, external_id, order_number, vendor_id, status, order_date, expected_date, received_date,
  currency, subtotal::text, tax::text, shipping::text, total::text, notes, source_updated_at, extra, first_seen_at,
  greatest(last_changed_at, edited_at) as last_changed_at, deleted_at
from purchase_orders
where user_id = $1 and ($2::uuid is null or source_id = $2) and ($3::timestamptz is null or greatest(last_changed_at, edited_at) >= $3)
  and ($4 or deleted_at is null) and ($5::uuid is null or id > $5) and ($7::uuid is null or id = $7)
order by id limit $6

-- name: lines
select purchase_order_id, line_number, item_id, sku, description, quantity::text, quantity_received::text, unit_cost::text,
  line_total::text
from purchase_order_lines
where user_id = $1 and purchase_order_id = any($2::uuid[])
order by purchase_order_id, coalesce(place, line_number), line_number

-- name: edit_patience
-- A writer may hold the row until its commit: rather tell the person than keep the connection.
select set_config('lock_timeout', '2s', true)

-- name: edit
-- What is not named in $3 keeps its value. The types are the columns' own. Values that are there already are no edit.
update :table t set (:columns, edited_at) = (
  select :new_columns, case when (:new_columns) is distinct from (:old_columns) then now() else t.edited_at end
  from jsonb_populate_record(t, $3) n)
where t.user_id = $1 and t.id = $2 and t.deleted_at is null
returning :required
