-- The synced rows. fillfactor leaves room for in-page updates; what changes with every sync has no index.

create table :schema.inventory (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_id uuid not null,
  source_system text not null,
  external_id text not null,
  sku text, name text, description text, category text,
  status text check (status in ('active', 'inactive')),
  quantity_on_hand numeric, quantity_on_order numeric, quantity_reserved numeric,
  reorder_point numeric, reorder_quantity numeric, unit_cost numeric, unit_price numeric,
  currency text, unit_of_measure text, barcode text, location text, preferred_vendor_id text,
  source_updated_at timestamptz,
  extra jsonb not null default '{}',
  first_seen_at timestamptz not null default now(),
  last_changed_at timestamptz not null default now(),
  deleted_at timestamptz,
  unique (source_id, external_id),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
) with (fillfactor = 85);

create table :schema.vendors (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_id uuid not null,
  source_system text not null,
  external_id text not null,
  name text, contact_name text, contact_email text, contact_phone text, address text, website text, payment_terms text,
  currency text, lead_time_days integer, status text, notes text,
  source_updated_at timestamptz,
  extra jsonb not null default '{}',
  first_seen_at timestamptz not null default now(),
  last_changed_at timestamptz not null default now(),
  deleted_at timestamptz,
  unique (source_id, external_id),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
) with (fillfactor = 85);

create table :schema.purchase_orders (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  source_id uuid not null,
  source_system text not null,
  external_id text not null,
  order_number text, vendor_id text,
  status text check (status in ('draft', 'submitted', 'partially_received', 'received', 'cancelled')),
  order_date date, expected_date date, received_date date,
  currency text, subtotal numeric, tax numeric, shipping numeric, total numeric, notes text,
  source_updated_at timestamptz,
  extra jsonb not null default '{}',
  first_seen_at timestamptz not null default now(),
  last_changed_at timestamptz not null default now(),
  deleted_at timestamptz,
  unique (source_id, external_id),
  unique (id, user_id),
  foreign key (source_id, user_id) references :schema.external_data_sources (id, user_id) on delete cascade
) with (fillfactor = 85);

create table :schema.purchase_order_lines (
  id uuid primary key default gen_random_uuid(),
  purchase_order_id uuid not null,
  user_id uuid not null,
  line_number integer not null,
  item_id text, sku text, description text,
  quantity numeric, quantity_received numeric, unit_cost numeric, line_total numeric,
  unique (purchase_order_id, line_number),
  foreign key (purchase_order_id, user_id) references :schema.purchase_orders (id, user_id) on delete cascade
);

create index inventory_user on :schema.inventory (user_id, id);
create index vendors_user on :schema.vendors (user_id, id);
create index purchase_orders_user on :schema.purchase_orders (user_id, id);
create index purchase_order_lines_user on :schema.purchase_order_lines (user_id);
