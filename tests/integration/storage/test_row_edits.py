"""What runs make of rows that people have edited."""

import asyncio
from uuid import UUID

import pytest
from core_rig import Core, counters, item

from shared.contracts.ids import SourceId
from shared.errors import PlatformAwayError
from shared.storage.synced_rows import edit_row


async def edit(core: Core, source: SourceId, key: str, **changes: str | None) -> None:
    row_id: UUID = (await core.rows(source))[key]["id"]
    async with core.databases["gateway"].for_tenant(core.user_id) as conn:
        assert await edit_row(conn, core.user_id, "inventory", row_id, changes)


async def test_the_next_read_that_brings_the_record_puts_the_sources_values_back(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a", quantity_on_hand="1"), item("b", quantity_on_hand="1")])
    await edit(core, source, "a", quantity_on_hand="5")
    await edit(core, source, "b", quantity_on_hand="5")

    await core.sync(source, [item("a", quantity_on_hand="1")], mode="incremental")

    rows = await core.rows(source)
    assert {key: int(row["quantity_on_hand"]) for key, row in rows.items()} == {"a": 1, "b": 5}


async def test_an_edit_to_what_the_source_says_is_no_change_of_the_run(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a", quantity_on_hand="1")])
    run = await core.running(source)
    await edit(core, source, "a", quantity_on_hand="2")

    view = await core.read(run, [item("a", quantity_on_hand="2")])

    assert counters(view) == {"unchanged": 1}


async def test_who_edits_a_row_that_a_writer_holds_is_told_and_holds_nothing_up(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a")])
    async with core.admin.acquire() as writer, writer.transaction():
        await writer.execute("update inventory set name = 'held' where source_id = $1", source)
        async with asyncio.timeout(10):
            with pytest.raises(PlatformAwayError):
                await edit(core, source, "a", name="mine")
    assert (await core.rows(source))["a"]["name"] == "held"


async def test_what_is_there_already_is_no_edit(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a", quantity_on_hand="1.50")])

    await edit(core, source, "a", quantity_on_hand="1.5", name=(await core.rows(source))["a"]["name"])
    assert (await core.rows(source))["a"]["edited_at"] is None

    await edit(core, source, "a", quantity_on_hand="1.6")
    edited = (await core.rows(source))["a"]["edited_at"]
    assert edited is not None
    await edit(core, source, "a", quantity_on_hand="1.6")
    assert (await core.rows(source))["a"]["edited_at"] == edited
