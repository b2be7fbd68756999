"""Where the next incremental read starts."""

from datetime import UTC, datetime, timedelta

import pytest
from closing_steps import cursor, fail, items
from core_rig import Core


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
