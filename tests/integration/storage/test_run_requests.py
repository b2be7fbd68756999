"""One running and one queued run of a source, and what asks for them."""

import asyncio

import pytest
from closing_steps import fail, items
from core_rig import Core

from shared.storage.closing import cancel_run


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
