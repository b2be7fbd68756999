"""From a change in the company, through the vendor's webhook and the gateway, to the row: in both forms."""

from typing import Literal

import pytest
from company_rig import CompanyRig
from gateway_harness import running_gateway
from test_quickbooks_rows import differences

from pipeline import Pipeline, eventually
from sandboxes.quickbooks.webhooks import WebhookTarget
from shared.messaging.memory import MemoryBus


@pytest.mark.parametrize("form", ["legacy", "cloudevents"])
async def test_what_a_webhook_names_is_read_and_nothing_else(
    pipeline: Pipeline, company: CompanyRig, database_url: str, form: Literal["legacy", "cloudevents"]
) -> None:
    await company.sync()
    cursors = "select entity, changed_until from sync_cursors where source_id = $1 and entity <> 'inventory'"
    before = await pipeline.admin.fetch(cursors, company.source)
    assert isinstance(pipeline.bus, MemoryBus)
    async with running_gateway(database_url, bus=pipeline.bus, ring=pipeline.ring) as gateway:
        user = gateway.user()
        user.id = pipeline.user_id
        target = WebhookTarget(url=f"{gateway.url}/webhooks/quickbooks/sandbox-client", format=form)
        answer = await user.post(
            f"/api/sources/{company.source}/webhook-secret", {"verifier_token": target.verifier_token}
        )
        assert answer.status == 201, answer.text
        state = company.state
        state.webhooks.configure(target)
        vendors = [vendor["Id"] for vendor in state.records("Vendor") if vendor["Active"]]
        orders = [order["Id"] for order in state.records("PurchaseOrder")]
        state.change("Vendor", vendors[0], {"PrimaryPhone": {"FreeFormNumber": "555-0100"}})
        state.merge("Vendor", vendors[1], vendors[2])
        state.change("PurchaseOrder", orders[0], {"DueDate": "2026-08-11"})
        state.delete("PurchaseOrder", orders[1])
        calls = len(state.arrivals)

        (delivery,) = await state.webhooks.deliver(everything=True)

        assert delivery.status == 200
        runs = "select id from sync_runs where source_id = $1 and trigger = 'webhook'"
        run_id = await eventually(lambda: pipeline.admin.fetchval(runs, company.source), bool, within=10)
        view = await pipeline.finish(run_id)

    assert view.status == "succeeded", view
    assert set(view.entities) == {"vendors", "purchase_orders", "inventory"}, "orders change what is on order of items"
    assert (view.entities["purchase_orders"].deleted, view.entities["vendors"].deleted) == (1, 0)
    asked = await pipeline.admin.fetch("select entity, targets from sync_run_entities where run_id = $1", run_id)
    targets = {row["entity"]: set(row["targets"] or ()) for row in asked}
    assert {vendors[0], vendors[1], vendors[2]} <= targets["vendors"]
    assert {orders[0], orders[1]} <= targets["purchase_orders"]
    assert targets["inventory"] == set()
    assert differences(await company.tables(), company.truth()) == []
    assert await pipeline.admin.fetch(cursors, company.source) == before
    assert len(state.arrivals) - calls <= 6, "by id, the names of terms; changes, items, open orders"
