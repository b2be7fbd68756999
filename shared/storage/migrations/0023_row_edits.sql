-- A person's own edits of synced rows, through the gateway and under the tenant's policy. Keys, sources and what only the source
-- can know (its change time, raw fields) stay out of reach. The time of an edit is kept apart: a row whose last_changed_at lies
-- in a run was changed by that run.
alter table :schema.inventory add column edited_at timestamptz;
alter table :schema.vendors add column edited_at timestamptz;
alter table :schema.purchase_orders add column edited_at timestamptz;
grant select on :schema.inventory, :schema.vendors, :schema.purchase_orders to headrace_gateway;
grant update (sku, name, description, category, status, quantity_on_hand, quantity_on_order, quantity_reserved, reorder_point,
    reorder_quantity, unit_cost, unit_price, currency, unit_of_measure, barcode, location, preferred_vendor_id, edited_at)
  on :schema.inventory to headrace_gateway;
grant update (name, contact_name, contact_email, contact_phone, address, website, payment_terms, currency, lead_time_days, status,
    notes, edited_at)
  on :schema.vendors to headrace_gateway;
grant update (order_number, vendor_id, status, order_date, expected_date, received_date, currency, subtotal, tax, shipping, total,
    notes, edited_at)
  on :schema.purchase_orders to headrace_gateway;
