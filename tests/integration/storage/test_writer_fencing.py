"""Messages that come twice, late, for another epoch, or two at once."""

import asyncio

import asyncpg
import pytest
from core_rig import Core, counters, item

from services.writer.upsert import Upserter


async def test_the_same_batch_twice_is_written_once(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    batch = core.batch(run, await core.page(run, 1, 2), [item("a"), item("b")], rejects=[])

    assert len(await core.write(batch, batch)) == 1
    assert await core.write(batch) == []
    await core.close(run)

    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 2}
    assert await core.write(batch) == [], "nor after the end"


async def test_a_batch_that_comes_again_is_not_even_staged(core: Core) -> None:
    """Known by a quantity that no stage takes: the rows of a mark that exists are not looked at."""
    source = await core.source()
    run = await core.running(source)
    first, second = await core.page(run, 1, 1, last=False), await core.page(run, 2, 1)
    await core.write(core.batch(run, first, [item("a", sku="1")]))
    again = core.batch(run, first, [item("a", quantity_on_hand="no number")])
    new = core.batch(run, second, [item("b", sku="2")], page_no=2)

    assert await core.write(again) == []
    assert [tally.batch.page_no for tally in await core.write(again, new)] == [2], "nor is it taken along"

    assert {key: row["sku"] for key, row in (await core.rows(source)).items()} == {"a": "1", "b": "2"}
    with pytest.raises(asyncpg.DataError):
        await core.write(again.model_copy(update={"batch_no": 1}))


async def test_of_batches_that_come_together_those_that_count_no_more_take_none_along(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    first = core.batch(run, await core.page(run, 1, 2, last=False), [item("a"), item("b", sku="1")])
    await core.write(first)
    second = core.batch(run, await core.page(run, 2, 2), [item("b", sku="2"), item("c")], page_no=2)
    replaced = core.batch(run, second.epoch - 1_000, [item("d")], page_no=2, batch_no=1)

    written = await core.write(first, replaced, second)
    await core.close(run)

    assert [(tally.batch.page_no, tally.inserted) for tally in written] == [(2, 2)]
    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 3, "duplicates": 1}
    rows = await core.rows(source)
    assert {key: row["sku"] for key, row in rows.items()} == {"a": None, "b": "2", "c": None}


async def test_a_group_is_staged_before_it_waits_for_another_writer_of_its_entity(core: Core) -> None:
    """With its extras, since most of the group before was written."""
    source = await core.source()
    run = await core.running(source)
    await core.write(core.batch(run, await core.page(run, 1, 1, last=False), [item("a")]))
    second = core.batch(run, await core.page(run, 2, 1), [item("b")], page_no=2)
    async with core.admin.acquire() as other, other.transaction():
        await other.execute("select pg_advisory_xact_lock(hashtextextended($1, 7))", f"{run}/inventory")
        writing = asyncio.create_task(core.write(second))
        await core.until_blocked()

        staged = await core.admin.fetch(
            "select c.relname from pg_locks l join pg_class c on c.oid = l.relation "
            "where l.granted and l.mode = 'RowExclusiveLock' and c.relname like 'stage%' and c.relkind = 'r' order by 1"
        )

    assert [row["relname"] for row in staged] == ["stage_extra", "stage_inventory"]
    assert [tally.inserted for tally in await writing] == [1]


async def test_a_replaced_epoch_is_refused(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    stale = core.batch(run, await core.page(run, 1, 1), [item("old")])
    fresh = core.batch(run, await core.page(run, 1, 1), [item("new")])
    assert stale.epoch != fresh.epoch

    assert await core.write(stale) == []
    assert len(await core.write(stale, fresh)) == 1

    assert set(await core.rows(source)) == {"new"}


async def test_a_batch_of_a_page_that_is_not_in_the_ledger_is_refused(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    epoch = await core.page(run, 1, 1)

    assert await core.write(core.batch(run, epoch, [item("a")], page_no=2)) == []

    assert await core.rows(source) == {}


@pytest.mark.parametrize("end", ["succeeded", "partial", "failed", "cancelled"])
async def test_a_batch_of_an_ended_run_is_refused(core: Core, end: str) -> None:
    source = await core.source()
    run = await core.running(source)
    batch = core.batch(run, await core.page(run, 1, 1), [item("a")])
    await core.admin.execute("update sync_runs set status = $2, finished_at = now() where id = $1", run, end)
    newer = await core.running(source)

    assert await core.write(batch) == [], "a newer run of the source is running: this one is superseded"

    assert await core.rows(source) == {}
    assert (await core.view(newer)).status == "running"


async def test_a_batch_of_an_entity_that_ended_is_refused_even_when_the_end_comes_while_it_waits(core: Core) -> None:
    """The close holds the run's row while the writer asks for it; what the writer saw before it waited is old."""
    source = await core.source()
    run = await core.running(source, "inventory", "vendors")
    batch = core.batch(run, await core.page(run, 1, 1), [item("a")])
    async with core.admin.acquire() as closing:
        async with closing.transaction():
            await closing.execute("select from sync_runs where id = $1 for no key update", run)
            await closing.execute(
                "update sync_run_entities set status = 'failed', read = 0 where run_id = $1 and entity = 'inventory'",
                run,
            )
            writing = asyncio.create_task(core.write(batch))
            await core.until_blocked()
        assert await asyncio.wait_for(writing, 10) == []
    assert await core.rows(source) == {}


async def test_an_unknown_run_is_nobody_s(core: Core) -> None:
    assert await core.write(core.batch(core.user_id, 1, [item("a")])) == []


async def test_two_writers_on_one_entity_neither_deadlock_nor_miscount(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item(f"k{number}") for number in range(0, 60, 2)])
    run = await core.running(source)
    pages, size = 12, 20
    batches = []
    for number in range(1, pages + 1):
        epoch = await core.page(run, number, size, last=number == pages)
        # every page overlaps its neighbours, in the opposite order
        keys = [f"k{key}" for key in range((number - 1) * 5, (number - 1) * 5 + size)]
        keys = keys[::-1] if number % 2 else keys
        batches.append(core.batch(run, epoch, [item(key, sku=f"page {number}") for key in keys], page_no=number))
    writers = [Upserter(core.databases["writer"]) for _ in range(2)]

    async def work(writer: Upserter, mine: list) -> int:
        return sum([len(await writer.write(run, "inventory", [batch])) for batch in mine])

    written = await asyncio.wait_for(
        asyncio.gather(work(writers[0], batches[::2] + batches[1::2]), work(writers[1], batches[::-1])), 30
    )

    assert sum(written) == pages
    await core.close(run)
    view = await core.view(run)
    assert view.status == "succeeded", view
    distinct = {row[0] for batch in batches for row in batch.rows}
    known = {f"k{number}" for number in range(0, 60, 2)}
    assert counters(view.entities["inventory"]) == {
        "inserted": len(distinct - known),
        "updated": len(distinct & known),
        "duplicates": pages * size - len(distinct),
    }
    rows = await core.rows(source)
    highest = {row[0]: f"page {batch.page_no}" for batch in batches for row in batch.rows}
    assert {key: rows[key]["sku"] for key in highest} == highest


async def test_the_writer_and_a_repeated_page_of_the_same_page_do_not_deadlock(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    for _ in range(10):
        batch = core.batch(run, await core.page(run, 1, 2, batches=2), [item("a")], batch_no=0)
        await asyncio.wait_for(asyncio.gather(core.write(batch), core.page(run, 1, 2, batches=2)), 10)
    epoch = await core.epoch(run, 1)
    await core.write(*[core.batch(run, epoch, [item(key)], batch_no=number) for number, key in enumerate("ab")])
    await core.close(run)
    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 2}
