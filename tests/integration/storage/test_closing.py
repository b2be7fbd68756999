"""How entities and runs end: their statuses, and what is counted."""

import pytest
from closing_steps import fail, items
from core_rig import Core, counters, item, reject

from shared.storage.closing import Failure, fail_entity


async def test_a_run_succeeds_and_the_source_says_so(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    assert (await core.source_row(source))["sync_status"] == "syncing"

    await core.read(run, items(1, 2), items(3))

    view = await core.view(run)
    assert (view.status, view.error) == ("succeeded", None)
    entity = view.entities["inventory"]
    assert (entity.pages, entity.bytes, entity.read) == (2, 200, 3)
    row = await core.source_row(source)
    assert (row["sync_status"], row["sync_error"]) == ("success", None)
    assert row["last_sync_at"] == view.finished_at
    assert row["last_sync_duration_ms"] >= 0


async def test_the_run_ends_with_its_last_entity_and_not_before(core: Core) -> None:
    source = await core.source()
    run = await core.running(source, "inventory", "vendors")
    await core.read(run, items(1))
    assert (await core.view(run)).status == "running"
    assert (await core.view(run)).entities["inventory"].status == "succeeded"

    await core.read(run, [item("v", entity="vendors")], entity="vendors")

    assert (await core.view(run)).status == "succeeded"


async def test_nothing_closes_before_every_batch_of_every_page_is_in(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    first = await core.page(run, 1, 2, last=False, batches=2)
    await core.write(core.batch(run, first, items(1), batch_no=0))
    assert (await core.close(run)).run_ended is None
    second = await core.page(run, 2, 0)
    await core.write(core.batch(run, second, page_no=2))
    assert (await core.close(run)).run_ended is None, "the last page is whole, but the first one isn't"

    await core.write(core.batch(run, first, items(2), batch_no=1))

    closed = await core.close(run)
    assert (closed.run_ended, closed.entities_ended) == ("succeeded", ("inventory",))
    assert (await core.close(run)).run_ended is None, "calling it again is free"


async def test_quarantine_makes_a_run_partial(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)

    await core.read(run, items(1), rejects=[reject("k002")])

    assert (await core.view(run)).status == "partial"
    row = await core.source_row(source)
    assert row["sync_status"] == "partial"
    assert "1 records are in quarantine" in row["sync_error"]
    assert row["last_sync_at"] is None


@pytest.mark.parametrize("failed_first", [True, False])
async def test_one_failed_entity_of_two_makes_a_run_partial(core: Core, failed_first: bool) -> None:
    source = await core.source()
    run = await core.running(source, "inventory", "vendors")
    if failed_first:
        await fail(core, run)
    await core.read(run, [item("v", entity="vendors")], entity="vendors")
    if not failed_first:
        await fail(core, run)

    view = await core.view(run)
    assert view.status == "partial"
    assert (view.entities["inventory"].status, view.entities["vendors"].status) == ("failed", "succeeded")
    told = (view.error.category, view.error.message, view.error.hint)
    assert told == ("NETWORK_ERROR", "the vendor is away", "Wait.")


async def test_a_run_whose_entities_all_failed_has_failed(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1))
    success = (await core.source_row(source))["last_sync_at"]
    run = await core.running(source, "inventory", "vendors")

    closed = await fail(core, run, None)

    assert closed.run_ended == "failed"
    row = await core.source_row(source)
    assert row["sync_status"] == "failed"
    assert row["sync_error"] == "NETWORK_ERROR: the vendor is away. Wait.", "once, not for each entity"
    assert row["last_sync_at"] == success, "the last success, not the last attempt"
    assert set(await core.rows(source)) == {"k001"}


async def test_rows_that_were_committed_before_an_entity_failed_stay_and_are_counted(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    epoch = await core.page(run, 1, 2, last=False)
    await core.write(core.batch(run, epoch, items(1, 2)))

    await fail(core, run)

    view = (await core.view(run)).entities["inventory"]
    assert (view.status, counters(view)) == ("failed", {"inserted": 2})
    assert len(await core.rows(source)) == 2


async def test_a_failed_entity_stays_failed(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    await fail(core, run)

    again = await fail_entity(core.databases["scheduler"], run, "inventory", Failure("DATA_ERROR", "another", ""))

    assert (again.run_ended, again.entities_ended) == (None, ())
    assert (await core.view(run)).error.category == "NETWORK_ERROR"


async def test_a_run_that_never_started_can_fail(core: Core) -> None:
    source = await core.source()
    asked = await core.ask(source)

    assert (await fail(core, asked.run_id, None)).run_ended == "failed"

    assert (await core.view(asked.run_id)).status == "failed"


async def test_counters_that_do_not_balance_are_a_failure_of_ours_and_delete_nothing(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3))
    run = await core.running(source)
    epoch = await core.page(run, 1, 3)  # three were read, two arrived
    await core.write(core.batch(run, epoch, items(1, 2)))

    await core.close(run)

    view = await core.view(run)
    assert (view.status, view.error.category) == ("failed", "INTERNAL_ERROR")
    assert "3 records were read but 2 are accounted for" in view.error.message
    assert len(await core.rows(source)) == 3


async def test_an_empty_full_read_where_rows_live_is_an_error_and_deletes_nothing(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1))

    view = await core.sync(source, [])

    assert (view.status, view.deleted, view.delete_proposal) == ("failed", 0, None)
    assert set(await core.rows(source)) == {"k001"}
    run = await core.admin.fetchrow("select * from sync_runs where source_id = $1 order by requested_at desc", source)
    assert (run["status"], run["error_category"]) == ("failed", "DATA_ERROR")
    assert (await core.source_row(source))["sync_status"] == "failed"


async def test_the_first_read_may_be_empty(core: Core) -> None:
    view = await core.sync(await core.source(), [])
    assert (view.status, view.read) == ("succeeded", 0)


async def test_an_empty_incremental_read_says_that_nothing_changed(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2))

    view = await core.sync(source, [], mode="incremental")

    assert (view.status, view.deleted) == ("succeeded", 0)
    assert len(await core.rows(source)) == 2


async def test_an_incremental_read_deletes_nothing(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2))

    view = await core.sync(source, items(1), mode="incremental")

    assert (view.status, view.deleted) == ("succeeded", 0)
    assert len(await core.rows(source)) == 2
