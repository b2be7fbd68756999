-- Calls per upstream account, for administrators: a scope names the vendor's account, and no tenant.
create policy operator on :schema.upstream_calls for select to headrace_gateway using ((select :schema.headrace_operator()));
grant select on :schema.upstream_calls to headrace_gateway;
