"""A company that slept past the vendor's look-back is read in full by itself, whoever asks; the clock is moved."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from company_rig import CompanyRig, running_company
from test_quickbooks_rows import differences
from webhook_events import keep_events

from pipeline import MovedClock, Pipeline, running_pipeline
from shared.contracts.ids import RunId
from shared.runtime.dispatch import dispatch
from shared.storage.run_views import RunView
from shared.storage.runs import RunAsk, request_run
from shared.storage.webhooks import Change


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def pipeline(database_url: str, redis_url: str, redis_prefix: str, clock: MovedClock) -> AsyncIterator[Pipeline]:
    async with running_pipeline(database_url, redis_url, redis_prefix, clock=clock) as running:
        yield running


@pytest.fixture
async def company(pipeline: Pipeline) -> AsyncIterator[CompanyRig]:
    """Its clock stands, so that nothing changes by itself."""
    async with running_company(pipeline, still=True) as rig:
        assert (await rig.sync()).status == "succeeded"
        yield rig


def asked_for_changes(company: CompanyRig) -> int:
    return sum("/cdc?" in arrival.path for arrival in company.state.arrivals)


async def by_webhook(company: CompanyRig, order: str) -> RunView:
    """A run that a webhook about one order asks for."""
    pipeline, source = company.pipeline, company.source
    ask = RunAsk(source, pipeline.user_id, "quickbooks", ("purchase_orders",), "webhook", targeted=True)
    gateway = pipeline.databases["gateway"]
    await keep_events(gateway, source, pipeline.user_id, [Change("purchase_orders", order, "upsert")])
    async with gateway.for_tenant(pipeline.user_id) as conn:
        requested = await request_run(conn, ask, merge=True)
    await dispatch(gateway, pipeline.bus, requested.outbox_ids)
    return await pipeline.finish(RunId(requested.run_id))


async def test_after_30_days_of_sleep_a_run_is_a_sweep_and_says_so(company: CompanyRig, clock: MovedClock) -> None:
    company.state.delete("PurchaseOrder", "3")
    company.state.change("Vendor", "7", {"DisplayName": "Back after the holidays"})
    clock.ahead = timedelta(days=30)

    run = await company.sync()

    assert (run.status, run.mode) == ("succeeded", "full")
    assert {view.mode for view in run.entities.values()} == {"full"}
    assert run.entities["purchase_orders"].deleted == 1
    assert asked_for_changes(company) == 0
    assert differences(await company.tables(), company.truth()) == []
    clock.ahead = timedelta(0)
    assert (await company.sync()).mode == "incremental", "the sweep was a read like any other"
    assert asked_for_changes(company) == 3


async def test_a_sweep_is_due_every_week_unless_the_source_says_otherwise(
    company: CompanyRig, clock: MovedClock
) -> None:
    clock.ahead = timedelta(days=6)
    assert (await company.sync()).mode == "incremental"
    clock.ahead = timedelta(days=8)
    await company.pipeline.admin.execute("update external_data_sources set full_sync_every = '2w'")
    assert (await company.sync()).mode == "incremental"
    await company.pipeline.admin.execute("update external_data_sources set full_sync_every = null")
    assert (await company.sync()).mode == "full"


async def test_a_webhook_that_comes_meanwhile_is_no_way_around_the_sweep(
    company: CompanyRig, clock: MovedClock
) -> None:
    company.state.delete("PurchaseOrder", "3")
    first = await by_webhook(company, "5")
    assert (first.mode, first.entities["purchase_orders"].read) == ("incremental", 1)
    clock.ahead = timedelta(days=31)

    run = await by_webhook(company, "5")

    assert (run.status, run.mode, run.trigger) == ("succeeded", "full", "webhook")
    assert set(run.entities) == {"purchase_orders"}
    assert run.entities["purchase_orders"].deleted == 1
    run = await company.sync()  # the others still sleep
    assert {entity: view.mode for entity, view in run.entities.items()}["vendors"] == "full"


async def test_of_a_run_that_is_a_sweep_in_part_each_entity_says_how_it_is_read(company: CompanyRig) -> None:
    await company.pipeline.admin.execute(
        "update sync_cursors set read_at = read_at - interval '31 days' where entity = 'vendors'"
    )
    run = await company.sync()
    assert run.mode == "incremental"
    assert {entity: view.mode for entity, view in run.entities.items()} == {
        "inventory": "incremental", "vendors": "full", "purchase_orders": "incremental",
    }  # fmt: skip
