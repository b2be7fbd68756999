"""How entities and runs end: statuses, deletes, cursors, and what comes after."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from core_rig import Core, counters, item, reject

from shared.contracts.ids import Entity
from shared.storage.closing import Failure, cancel_run, fail_entity

BROKEN = Failure("NETWORK_ERROR", "the vendor is away", "Wait.")


def items(*numbers: int) -> list:
    return [item(f"k{number:03}") for number in numbers]


async def fail(core: Core, run, entity: Entity | None = "inventory"):
    return await fail_entity(core.databases["fetcher"], run, entity, BROKEN)


# --- statuses


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
    assert row["sync_error"].startswith("NETWORK_ERROR: the vendor is away Wait.")
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


# --- deletes


async def test_what_a_full_read_misses_is_soft_deleted_and_comes_back_when_seen_again(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3))
    before = await core.rows(source)

    view = await core.sync(source, items(1, 3))

    assert (view.status, view.deleted, view.delete_proposal) == ("succeeded", 1, None)
    assert counters(view) == {"unchanged": 2}
    rows = await core.rows(source, deleted=True)
    assert [key for key, row in rows.items() if row["deleted_at"]] == ["k002"]
    assert rows["k001"] == before["k001"]

    back = await core.sync(source, items(1, 2, 3))

    assert counters(back) == {"unchanged": 2, "updated": 1}
    revived = (await core.rows(source))["k002"]
    assert (revived["id"], revived["first_seen_at"]) == (before["k002"]["id"], before["k002"]["first_seen_at"])


@pytest.mark.parametrize(
    ("live", "vanished", "proposed"),
    [(40, 20, False), (300, 30, False), (300, 31, True), (5, 3, True), (4, 2, False), (6, 3, False), (2, 2, False)],
)
async def test_above_the_threshold_deletes_become_a_proposal(
    core: Core, live: int, vanished: int, proposed: bool
) -> None:
    source = await core.source()
    await core.sync(source, items(*range(live)))
    # (2, 2): one new row, so that the read isn't empty
    seen = items(*range(vanished, live)) or items(999)

    view = await core.sync(source, seen)

    if proposed:
        assert (view.status, view.deleted, view.delete_proposal) == ("partial", 0, vanished)
        assert len(await core.rows(source)) == live
        assert f"{vanished} rows vanished at the source" in (await core.source_row(source))["sync_error"]
    else:
        assert (view.status, view.deleted, view.delete_proposal) == ("succeeded", vanished, None)


async def test_another_source_s_rows_are_not_missed(core: Core) -> None:
    mine, other = await core.source(), await core.source()
    await core.sync(other, items(1, 2, 3))
    await core.sync(mine, items(1, 2, 3))

    await core.sync(mine, items(1, 2))

    assert (len(await core.rows(mine)), len(await core.rows(other))) == (2, 3)


async def test_two_entities_of_one_run_delete_each_their_own(core: Core) -> None:
    source = await core.source()
    for present in ((1, 2, 3), (1, 3)):
        run = await core.running(source, "inventory", "vendors")
        await core.read(run, items(*present), close=False)
        rows = [item(f"k{number:03}", entity="vendors") for number in (present[::-1] if len(present) == 3 else (2, 3))]
        await core.read(run, rows, entity="vendors", close=False)
        await core.close(run)
        assert (await core.view(run)).status == "succeeded"
    assert set(await core.rows(source)) == {"k001", "k003"}
    assert set(await core.rows(source, "vendors")) == {"k002", "k003"}


async def test_where_paging_can_skip_only_what_two_full_reads_in_a_row_miss_is_deleted(core: Core) -> None:
    source = await core.source()
    everything = items(1, 2, 3, 4, 5)
    await core.sync(source, everything, stable=False)

    first = await core.sync(source, items(1, 2, 3), stable=False)
    assert (first.status, first.deleted) == ("succeeded", 0)
    # an incremental read between them says nothing about what is missing
    await core.sync(source, items(1), stable=False, mode="incremental")

    second = await core.sync(source, items(1, 2, 4), stable=False)
    assert second.deleted == 1, "only the fifth was missed by both"
    assert set(await core.rows(source)) == {"k001", "k002", "k003", "k004"}

    third = await core.sync(source, items(1, 2, 3, 4), stable=False)
    assert third.deleted == 0, "the third was missed once, and then seen"
    fourth = await core.sync(source, items(1, 2, 4), stable=False)
    assert fourth.deleted == 0


async def test_keys_seen_that_were_lost_forbid_deletes(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3))
    run = await core.running(source)
    await core.read(run, items(1), items(2), close=False)
    await core.admin.execute("delete from sync_keys_seen where run_id = $1 and page_no = 1", run)

    await core.close(run)

    view = await core.view(run)
    assert (view.status, view.entities["inventory"].deleted) == ("succeeded", 0)
    assert len(await core.rows(source)) == 3


async def test_a_failed_entity_deletes_nothing(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3))
    run = await core.running(source)
    await core.read(run, items(1), close=False)

    await fail(core, run)

    assert len(await core.rows(source)) == 3


@pytest.mark.parametrize("role", ["writer", "fetcher", "scheduler"])
async def test_every_role_that_closes_may_delete_and_move_the_cursor(core: Core, role: str) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3), stable=False)
    await core.sync(source, items(1, 2), stable=False)
    run = await core.running(source, stable=False)
    await core.read(run, items(1, 2), rejects=[reject("k001")], newest=datetime(2026, 1, 1, tzinfo=UTC), close=False)

    closed = await core.close(run, role)

    assert closed.run_ended == "partial"
    assert set(await core.rows(source)) == {"k001", "k002"}
    assert await cursor(core, source) == datetime(2026, 1, 1, tzinfo=UTC)


# --- cursors


async def cursor(core: Core, source, entity: Entity = "inventory") -> datetime | None:
    return await core.admin.fetchval(
        "select changed_until from sync_cursors where source_id = $1 and entity = $2", source, entity
    )


async def test_the_cursor_of_an_entity_moves_whatever_becomes_of_the_others(core: Core) -> None:
    source = await core.source()
    run = await core.running(source, "inventory", "vendors")
    newest = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    await fail(core, run, "vendors")

    await core.read(run, items(1), items(2), newest=newest)

    assert await cursor(core, source) == newest
    assert await cursor(core, source, "vendors") is None


async def test_the_cursor_is_never_ahead_of_the_run_s_start(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)

    await core.read(run, items(1), newest=datetime.now(UTC) + timedelta(days=300))

    assert await cursor(core, source) == (await core.view(run)).started_at


async def test_a_read_that_saw_nothing_new_leaves_the_cursor(core: Core) -> None:
    source = await core.source()
    newest = datetime(2026, 1, 1, tzinfo=UTC)
    await core.sync(source, items(1), newest=newest)

    await core.sync(source, [], mode="incremental")

    assert await cursor(core, source) == newest


async def test_records_without_a_change_time_are_asked_for_from_an_hour_before_the_run(core: Core) -> None:
    source = await core.source()
    run = await core.start((await core.ask(source)).run_id, timed=False)

    await core.read(run, items(1))

    started = (await core.view(run)).started_at
    assert started is not None
    assert await cursor(core, source) == started - timedelta(hours=1)


@pytest.mark.parametrize("change", ["config = '{\"a\": 1}'", "mapping_version = mapping_version + 1"])
async def test_a_run_from_before_a_change_does_not_move_the_cursor(core: Core, change: str) -> None:
    source = await core.source()
    run = await core.running(source)
    await core.admin.execute(f"update external_data_sources set {change} where id = $1", source)

    await core.read(run, items(1), newest=datetime(2026, 1, 1, tzinfo=UTC))

    assert (await core.view(run)).status == "succeeded"
    assert await cursor(core, source) is None


async def test_neither_a_failed_entity_nor_a_dry_run_moves_a_cursor(core: Core) -> None:
    source = await core.source()
    newest = datetime(2026, 1, 1, tzinfo=UTC)
    await core.sync(source, items(1), newest=newest, dry_run=True)
    assert await cursor(core, source) is None
    run = await core.running(source)
    epoch = await core.page(run, 1, 5)
    await core.write(core.batch(run, epoch, items(1), newest=newest))
    await core.close(run)
    assert (await core.view(run)).status == "failed"
    assert await cursor(core, source) is None


# --- one running and one queued run


async def queued_behind(core: Core, source):
    running = await core.running(source)
    queued = await core.ask(source, merge=True, trigger="webhook")
    assert queued.created
    await core.admin.execute("delete from outbox")  # published; the queued one was told to wait
    return running, queued.run_id


@pytest.mark.parametrize("how", ["close", "fail", "cancel"])
async def test_the_queued_run_is_asked_for_when_the_running_one_ends(core: Core, how: str) -> None:
    source = await core.source()
    running, queued = await queued_behind(core, source)

    if how == "close":
        await core.read(running, items(1), close=False)
        closed = await core.close(running)
    elif how == "fail":
        closed = await fail(core, running, None)
    else:
        async with core.databases["gateway"].for_tenant(core.user_id) as conn:
            closed = await cancel_run(conn, running)

    [row] = await core.admin.fetch("select id, run_id, queue, kind, body from outbox")
    assert closed.outbox_ids == (row["id"],)
    assert (row["run_id"], row["queue"], row["kind"]) == (queued, "requests", "run.requested")
    assert str(queued) in row["body"]
    await core.start(queued)


async def test_two_runs_of_a_source_never_run_at_once(core: Core) -> None:
    source = await core.source()
    _, queued = await queued_behind(core, source)
    with pytest.raises(Exception, match="sync_runs_one_running"):
        await core.start(queued)


async def test_a_cancelled_run_ends_its_entities_and_gives_the_source_its_last_word_back(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1))
    run = await core.running(source, "inventory", "vendors")

    async with core.databases["gateway"].for_tenant(core.user_id) as conn:
        closed = await cancel_run(conn, run)
        assert (closed.run_ended, len(closed.entities_ended)) == ("cancelled", 2)
        assert (await cancel_run(conn, run)).run_ended is None

    view = await core.view(run)
    assert view.status == "cancelled"
    assert {entity.status for entity in view.entities.values()} == {"cancelled"}
    assert (await core.source_row(source))["sync_status"] == "success"


async def test_a_user_cannot_cancel_another_s_run(core: Core) -> None:
    stranger = (await opened(core)).user_id
    source = await core.source()
    run = await core.running(source)
    async with core.databases["gateway"].for_tenant(stranger) as conn:
        assert await cancel_run(conn, run) is None
    assert (await core.view(run)).status == "running"


async def opened(core: Core) -> Core:
    return Core(core.admin, core.databases)


# --- asking for runs


async def test_a_manual_ask_beside_an_active_run_is_a_conflict_that_names_it(core: Core) -> None:
    source = await core.source()
    first = await core.ask(source)
    assert await core.ask(source) == type(first)(first.run_id, created=False, conflict=True)
    await core.start(first.run_id)
    assert (await core.ask(source)).run_id == first.run_id
    queued = await core.ask(source, merge=True, trigger="webhook")
    assert queued.run_id != first.run_id
    again = await core.ask(source)
    assert (again.run_id, again.conflict) == (first.run_id, True), "the running one is named"


async def test_asks_that_come_meanwhile_merge_into_one_queued_run_and_widen_it(core: Core) -> None:
    source = await core.source()
    await core.running(source)
    queued = await core.ask(source, "inventory", merge=True, trigger="webhook")

    merged = [
        await core.ask(source, "vendors", merge=True, trigger="schedule"),
        await core.ask(source, "inventory", merge=True, trigger="external", mode="full", force=True),
        await core.ask(source, "inventory", merge=True, trigger="webhook"),
    ]

    assert {each.run_id for each in merged} == {queued.run_id}
    assert not any(each.created or each.conflict or each.outbox_ids for each in merged)
    row = await core.admin.fetchrow("select mode, force, trigger from sync_runs where id = $1", queued.run_id)
    assert tuple(row) == ("full", True, "webhook")
    assert set((await core.view(queued.run_id)).entities) == {"inventory", "vendors"}


async def test_a_real_ask_that_joins_a_queued_dry_run_is_not_lost(core: Core) -> None:
    source = await core.source()
    dry = await core.ask(source, dry_run=True)

    joined = await core.ask(source, merge=True, trigger="webhook")

    assert joined.run_id == dry.run_id
    await core.read(await core.start(dry.run_id), items(1))
    assert set(await core.rows(source)) == {"k001"}


async def test_asking_twice_with_one_id_gives_one_run(core: Core) -> None:
    source = await core.source()
    run_id = core.user_id  # any uuid
    first = await core.ask(source, merge=True, trigger="external", run_id=run_id)
    second = await core.ask(source, merge=True, trigger="external", run_id=run_id)
    assert (first.run_id, first.created, second.run_id, second.created) == (run_id, True, run_id, False)
    assert await core.admin.fetchval("select count(*) from sync_runs") == 1


async def test_asks_at_the_same_moment_make_one_run(core: Core) -> None:
    source = await core.source()

    asked = await asyncio.gather(*[core.ask(source, merge=True, trigger="webhook") for _ in range(8)])

    assert len({each.run_id for each in asked}) == 1
    assert sum(each.created for each in asked) == 1


async def test_a_close_and_an_ask_at_the_same_moment_leave_no_queued_run_without_its_message(core: Core) -> None:
    for _ in range(8):
        source = await core.source()
        run = await core.running(source)
        await core.read(run, items(1), close=False)

        _, asked = await asyncio.gather(core.close(run), core.ask(source, merge=True, trigger="webhook"))

        assert await core.admin.fetchval("select count(*) from outbox where run_id = $1", asked.run_id) >= 1
