"""A batch looks for its keys among those seen only where another batch's range of keys meets its own."""

from collections.abc import Sequence

import pytest
from core_rig import Core, counters, item

from shared.storage.pages import replan_entity

# In the order of their bytes, which UTF-16 would have otherwise: U+FFFD before U+1F600.
KEYS = ("a", "a b", "b", "z", "é", "\ufffd", "\U0001f600")


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        pytest.param(("a", "b"), ("b", "z"), 1, id="end-meets-start"),
        pytest.param(("b", "z"), ("a", "b"), 1, id="start-meets-end"),
        pytest.param(("a", "z"), ("b", "a"), 1, id="inside"),
        pytest.param(("b",), ("a", "b", "z"), 1, id="around"),
        pytest.param(("a b", "\U0001f600"), ("a", "\U0001f600"), 1, id="beyond-16-bits"),
        pytest.param(("é", "\ufffd"), ("\ufffd", "a"), 1, id="not-ascii"),
        pytest.param(("a", "z"), ("b", "é"), 0, id="meeting-without-a-common-key"),
        pytest.param(("a", "b"), ("z", "é"), 0, id="apart"),
    ],
)
async def test_a_key_of_two_pages_counts_once_wherever_the_ranges_meet(
    core: Core, first: Sequence[str], second: Sequence[str], shared: int
) -> None:
    source = await core.source()

    view = await core.sync(source, [item(key, sku="1") for key in first], [item(key, sku="2") for key in second])

    expected = {"inserted": len({*first, *second}), "duplicates": shared}
    assert counters(view) == {name: count for name, count in expected.items() if count}
    rows = await core.rows(source)
    assert {key: row["sku"] for key, row in rows.items()} == dict.fromkeys(first, "1") | dict.fromkeys(second, "2")


async def test_the_database_orders_keys_as_the_writer_does(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    epoch = await core.page(run, records=len(KEYS))

    await core.write(core.batch(run, epoch, [item(key) for key in reversed(KEYS)]))

    ends = await core.admin.fetchrow("select first_key, last_key from sync_batches where run_id = $1", run)
    ordered = await core.admin.fetch('select k from unnest($1::text[]) k order by k collate "C"', KEYS[::-1])
    assert (ends["first_key"], ends["last_key"]) == (KEYS[0], KEYS[-1])
    assert [row["k"] for row in ordered] == list(KEYS)


async def test_ranges_that_lie_apart_are_not_looked_through(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    await core.read(run, [item("a")], close=False)
    await core.admin.execute(
        "insert into sync_keys_seen (run_id, entity, external_id, page_no, batch_no, user_id, outcome) "
        "values ($1, 'inventory', 'z', 1, 0, $2, 'i')",
        run,
        core.user_id,
    )
    await core.admin.execute("update sync_pages set is_last = false, next_cursor = '\"2\"' where run_id = $1", run)
    epoch = await core.page(run, 2, 1)

    (tally,) = await core.write(core.batch(run, epoch, [item("z")], page_no=2))

    first = await core.admin.fetchrow("select * from sync_batches where run_id = $1 and page_no = 1", run)
    assert (tally.inserted, first["inserted"], first["duplicates"]) == (1, 1, 0), "a look would have demoted page 1"


async def test_a_mark_without_a_range_is_looked_through(core: Core) -> None:
    """A run that began under an older release."""
    source = await core.source()
    run = await core.running(source)
    epoch = await core.page(run, 1, 1, last=False)
    await core.write(core.batch(run, epoch, [item("a")]))
    await core.admin.execute("update sync_batches set first_key = null, last_key = null where run_id = $1", run)
    epoch = await core.page(run, 2, 1)
    await core.write(core.batch(run, epoch, [item("a", sku="2")], page_no=2))

    await core.close(run)

    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 1, "duplicates": 1}


async def test_a_deletion_meets_the_record_of_another_page(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("m"), item("z")])
    run = await core.running(source, mode="incremental")
    epochs = [await core.page(run, 1, 1, last=False)]
    await core.write(core.batch(run, epochs[0], [item("m", sku="new")]))
    epochs.append(await core.page(run, 2, 0))

    await core.write(core.batch(run, epochs[1], page_no=2, deletions=["m"]))
    await core.close(run)

    view = (await core.view(run)).entities["inventory"]
    assert (view.updated, view.duplicates, view.deleted) == (0, 1, 1)
    assert set(await core.rows(source)) == {"a", "z"}


async def test_a_read_that_saw_every_live_row_needs_no_keys_and_forgets_what_was_missed(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("b"), item("c")], stable=False)
    await core.sync(source, [item("a"), item("b")], stable=False)
    run = await core.running(source, stable=False)
    await core.read(run, [item("a"), item("b"), item("c")], close=False)
    await core.admin.execute("delete from sync_key_packs where run_id = $1", run)

    await core.close(run)

    assert (await core.view(run)).status == "succeeded"
    assert await core.admin.fetchval("select count(*) from sync_misses where source_id = $1", source) == 0


async def test_what_was_looked_for_and_what_was_not_are_both_seen_at_the_close(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item(key) for key in "abcdmyz"])
    run = await core.running(source)
    await core.read(run, [item("a"), item("c")], [item("b"), item("d")], [item("y"), item("z")], close=False)
    counted = await core.admin.fetchrow(
        "select (select count(*) from sync_keys_seen where run_id = $1), "
        "(select sum(cardinality(keys)) from sync_key_packs where run_id = $1)",
        run,
    )
    assert tuple(counted) == (2, 4), "the second page looked through the first, and nobody through the others"

    await core.close(run)

    view = (await core.view(run)).entities["inventory"]
    assert (view.unchanged, view.deleted) == (6, 1)
    assert set(await core.rows(source)) == set("abcdyz")


@pytest.mark.parametrize("looked_for", [False, True], ids=["packed", "unpacked"])
async def test_pages_that_are_read_anew_take_their_keys_along(core: Core, *, looked_for: bool) -> None:
    source = await core.source()
    run = await core.running(source)
    epoch = await core.page(run, 1, 2, last=False, batches=2)
    first = core.batch(run, epoch, [item("a"), item("z")])
    epoch = await core.page(run, 2, 1)
    await core.write(first)
    if looked_for:
        await core.write(core.batch(run, epoch, [item("b")], page_no=2))

    async with core.databases["fetcher"].for_run(run) as (conn, _):
        await replan_entity(conn, run, "inventory")

    left = await core.admin.fetchval(
        "select (select count(*) from sync_keys_seen where run_id = $1) + "
        "(select count(*) from sync_key_packs where run_id = $1)",
        run,
    )
    assert left == 0


async def test_a_pack_that_an_older_release_left_behind_is_of_no_account(core: Core) -> None:
    """Its services know of marks and keys alone when they void a page."""
    source = await core.source()
    run = await core.running(source)
    epochs = [
        await core.page(run, 1, 2, last=False),
        await core.page(run, 2, 1, last=False),
        await core.page(run, 3, 1),
    ]
    await core.write(core.batch(run, epochs[1], [item("m", sku="old")], page_no=2))
    await core.admin.execute("delete from sync_batches where run_id = $1", run)

    await core.write(core.batch(run, epochs[2], [item("b")], page_no=3))
    await core.write(core.batch(run, epochs[0], [item("a"), item("m", sku="new")]))
    await core.write(core.batch(run, epochs[1], [item("x")], page_no=2))
    await core.close(run)

    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 4}
    assert {key: row["sku"] for key, row in (await core.rows(source)).items()}["m"] == "new"
