"""What a full read misses: soft-deleted, proposed, or left alone."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from closing_steps import cursor, fail, items
from core_rig import Core, counters, item, reject

from shared.contracts.records import Row


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


@pytest.mark.parametrize("dry_run", [False, True])
async def test_new_rows_do_not_make_a_loss_smaller(core: Core, dry_run: bool) -> None:
    source = await core.source()
    await core.sync(source, items(*range(5)))

    view = await core.sync(source, items(*range(10, 40)), dry_run=dry_run)

    assert (view.status, view.inserted, view.deleted, view.delete_proposal) == ("partial", 30, 0, 5)


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


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (items(1, 2, 3, 4), ("succeeded", 1, None)),
        (items(1, 2, 7, 8), ("partial", 0, 3)),
        (items(1, 2, 3, 4, 5, 7), ("succeeded", 0, None)),
    ],
    ids=["one", "too many", "none, and a new one"],
)
async def test_a_dry_run_says_what_a_full_read_would_delete(
    core: Core, seen: Sequence[Row], said: tuple[str, int, int | None]
) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3, 4, 5, 6))
    await core.sync(source, items(1, 2, 3, 4, 5))
    assert set(await core.rows(source)) == {f"k00{number}" for number in range(1, 6)}
    before = await core.rows(source, deleted=True)

    view = await core.sync(source, seen, dry_run=True)

    assert (view.status, view.deleted, view.delete_proposal) == said
    assert await core.rows(source, deleted=True) == before
    assert (await core.source_row(source))["sync_error"] is None
    real = await core.sync(source, seen)
    assert (real.status, real.deleted, real.delete_proposal) == said


async def test_a_dry_run_counts_what_is_missed_for_the_second_time_and_remembers_no_miss(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3, 4, 5), stable=False)
    for _ in range(2):
        assert (await core.sync(source, items(1, 2, 3, 4), stable=False, dry_run=True)).deleted == 0
    assert (await core.sync(source, items(1, 2, 3, 4), stable=False)).deleted == 0
    for _ in range(2):
        assert (await core.sync(source, items(1, 2, 3), stable=False, dry_run=True)).deleted == 1

    assert (await core.sync(source, items(1, 2, 3, 4), stable=False)).deleted == 1, "the fifth was missed twice by now"


async def test_keys_seen_that_were_lost_forbid_deletes(core: Core) -> None:
    source = await core.source()
    await core.sync(source, items(1, 2, 3))
    run = await core.running(source)
    await core.read(run, items(1), items(2), close=False)
    await core.admin.execute("delete from sync_key_packs where run_id = $1 and page_no = 1", run)

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
