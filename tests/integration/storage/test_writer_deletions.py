"""Deletions that an incremental read reports: exact, counted, fenced, and never undone by what comes late."""

from core_rig import Core, item

from services.writer.grouping import Tally
from shared.contracts.ids import RunId, SourceId


async def live(core: Core, source: SourceId) -> set[str]:
    return set(await core.rows(source))


async def incremental(core: Core, source: SourceId) -> RunId:
    return await core.running(source, mode="incremental")


async def seeded(core: Core) -> SourceId:
    source = await core.source()
    await core.sync(source, [item("a"), item("b"), item("c")])
    return source


def deleted(tallies: list[Tally]) -> int:
    return sum(tally.deleted for tally in tallies)


async def test_a_deletion_takes_its_row_alone_and_is_counted_beside_the_records(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    epoch = await core.page(run, 1, 1)

    tallies = await core.write(core.batch(run, epoch, [item("a", name="new name")], deletions=["b", "unknown"]))
    await core.close(run)

    assert deleted(tallies) == 1
    assert await live(core, source) == {"a", "c"}
    view = (await core.view(run)).entities["inventory"]
    assert (view.status, view.read, view.updated, view.deleted) == ("succeeded", 1, 1, 1)
    kept = (await core.rows(source, deleted=True))["b"]
    assert kept["deleted_at"] is not None
    assert kept["last_changed_at"] == kept["deleted_at"]


async def test_the_same_message_twice_deletes_and_counts_once(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    batch = core.batch(run, await core.page(run, 1, 0), deletions=["b"])

    first, second = await core.write(batch), await core.write(batch)
    await core.close(run)

    assert (deleted(first), second) == (1, [])
    assert (await core.view(run)).entities["inventory"].deleted == 1


async def test_a_deletion_that_was_done_before_is_none(core: Core) -> None:
    source = await seeded(core)
    for expected in (1, 0):
        run = await incremental(core, source)
        await core.write(core.batch(run, await core.page(run, 1, 0), deletions=["b"]))
        await core.close(run)
        assert (await core.view(run)).entities["inventory"].deleted == expected


async def test_a_late_batch_of_a_lower_page_does_not_revive_the_row(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    low = core.batch(run, await core.page(run, 1, 1, last=False), [item("b", name="late")])
    high = core.batch(run, await core.page(run, 2, 0), page_no=2, deletions=["b"])

    await core.write(high)
    await core.write(low)
    await core.close(run)

    assert await live(core, source) == {"a", "c"}
    view = (await core.view(run)).entities["inventory"]
    assert (view.status, view.duplicates, view.deleted) == ("succeeded", 1, 1)


async def test_in_order_the_same_two_batches_end_the_same(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    low = core.batch(run, await core.page(run, 1, 1, last=False), [item("b", name="early")])
    high = core.batch(run, await core.page(run, 2, 0), page_no=2, deletions=["b"])

    await core.write(low)
    await core.write(high)
    await core.close(run)

    assert await live(core, source) == {"a", "c"}
    view = (await core.view(run)).entities["inventory"]
    assert (view.status, view.updated, view.duplicates, view.deleted) == ("succeeded", 0, 1, 1)


async def test_a_record_on_a_higher_page_wins_over_a_deletion_whichever_comes_first(core: Core) -> None:
    for high_first in (False, True):
        source = await seeded(core)
        run = await incremental(core, source)
        low = core.batch(run, await core.page(run, 1, 0, last=False), deletions=["b"])
        high = core.batch(run, await core.page(run, 2, 1), [item("b", name="again")], page_no=2)

        for batch in (high, low) if high_first else (low, high):
            await core.write(batch)
        await core.close(run)

        assert await live(core, source) == {"a", "b", "c"}, high_first
        view = (await core.view(run)).entities["inventory"]
        assert (view.status, view.updated, view.duplicates, view.deleted) == ("succeeded", 1, 0, 0), high_first


async def test_one_group_of_both_batches_and_one_batch_of_both_settle_the_same_way(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    low = core.batch(run, await core.page(run, 1, 2, last=False), [item("a", name="x"), item("b")], deletions=["b"])
    high = core.batch(run, await core.page(run, 2, 1), [item("c", name="y")], page_no=2, deletions=["a"])

    await core.write(low, high)
    await core.close(run)

    assert await live(core, source) == {"c"}
    view = (await core.view(run)).entities["inventory"]
    assert (view.status, view.read, view.updated, view.duplicates, view.deleted) == ("succeeded", 3, 1, 2, 2)


async def test_a_page_that_is_fetched_again_counts_its_deletions_again(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    await core.write(core.batch(run, await core.page(run, 1, 0, batches=2), deletions=["b"]))
    epoch = await core.page(run, 1, 0)  # the second batch never came: the page was read anew

    await core.write(core.batch(run, epoch, deletions=["b"]))
    await core.close(run)

    assert (await core.view(run)).entities["inventory"].deleted == 1


async def test_a_batch_of_a_finished_or_replaced_run_deletes_nothing(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    epoch = await core.page(run, 1, 0)
    stale = core.batch(run, epoch - 1, deletions=["a"])
    await core.write(stale)
    await core.write(core.batch(run, epoch))
    await core.close(run)

    assert await core.write(core.batch(run, epoch, deletions=["a"], batch_no=1)) == []
    assert await live(core, source) == {"a", "b", "c"}


async def test_a_dry_run_counts_what_it_would_delete(core: Core) -> None:
    source = await seeded(core)
    run = await core.running(source, mode="incremental", dry_run=True)

    await core.write(core.batch(run, await core.page(run, 1, 0), deletions=["b", "unknown"]))
    await core.close(run)

    assert await live(core, source) == {"a", "b", "c"}
    assert (await core.view(run)).entities["inventory"].deleted == 1


async def test_a_row_that_was_deleted_comes_back_when_a_later_run_reads_it(core: Core) -> None:
    source = await seeded(core)
    run = await incremental(core, source)
    await core.write(core.batch(run, await core.page(run, 1, 0), deletions=["b"]))
    await core.close(run)

    view = await core.sync(source, [item("a"), item("b"), item("c")])

    assert (view.updated, view.unchanged) == (1, 2)
    assert await live(core, source) == {"a", "b", "c"}
