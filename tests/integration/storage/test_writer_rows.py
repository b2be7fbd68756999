"""What the writer's one transaction does to rows, marks, keys seen and counters."""

import asyncio
import json

import pytest
from core_rig import Core, counters, item, order, reject

from services.writer.upsert import Upserter


async def test_rows_are_inserted_updated_and_left_alone(core: Core) -> None:
    source = await core.source()
    first = await core.sync(source, [item("a", quantity_on_hand="1"), item("b"), item("c", unit_cost="2.50")])
    assert counters(first) == {"inserted": 3}
    before = await core.rows(source)

    second = await core.sync(
        source, [item("a", quantity_on_hand="2"), item("b"), item("c", unit_cost="2.5"), item("d")]
    )

    assert counters(second) == {"inserted": 1, "updated": 1, "unchanged": 2}
    after = await core.rows(source)
    assert after["a"]["quantity_on_hand"] == 2
    assert after["a"]["last_changed_at"] > before["a"]["last_changed_at"]
    assert after["a"]["first_seen_at"] == before["a"]["first_seen_at"]
    assert after["a"]["id"] == before["a"]["id"]
    assert (after["b"], after["c"]) == (before["b"], before["c"]), "2.5 is 2.50: the row isn't touched (same xmin)"
    assert after["d"]["source_system"] == "json_api"
    assert after["d"]["user_id"] == core.user_id


async def test_a_value_that_vanishes_is_an_update_to_null(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a", sku="S", quantity_on_hand="0")])

    view = await core.sync(source, [item("a", quantity_on_hand="0")])

    assert counters(view) == {"updated": 1}
    assert (await core.rows(source))["a"]["sku"] is None


async def test_extra_or_the_change_time_alone_is_no_change(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a", extra={"x": 1}, source_updated_at="2026-01-01T00:00:00+00:00"), item("b")])
    before = await core.rows(source)

    view = await core.sync(
        source, [item("a", extra={"x": 2}, source_updated_at="2026-02-01T00:00:00+00:00"), item("b", extra={"y": 1})]
    )

    assert counters(view) == {"unchanged": 2}
    assert await core.rows(source) == before

    changed = await core.sync(source, [item("a", sku="now", extra={"x": 3}), item("b")])
    assert counters(changed) == {"updated": 1, "unchanged": 1}
    assert json.loads((await core.rows(source))["a"]["extra"]) == {"x": 3}, "a real change brings them along"


WEIRD = {
    "tab": "a\tb",
    "newline": "a\nb\r\nc",
    "backslash": "a\\b\\",
    "null_word": "\\N",
    "end_word": "\\.",
    "escape": "\\t\\n\\x41",
    "unicode": "Größe ½ 日本 🙂 \u2028 \u0085",
    "control": "\x01\x08\x0b\x0c\x7f",
    "quotes": "\"'`;--{}",
    "empty": "",
    "blanks": "  a  ",
}


@pytest.mark.parametrize("key", ["plain", "a\tb", "\\N", "line\nbreak", "日本"])
async def test_text_arrives_as_it_was_whatever_it_holds(core: Core, key: str) -> None:
    source = await core.source()
    rows = [
        item(f"{key}/{name}", name=text, sku=None, extra={"raw\t\\": text, "n": None}) for name, text in WEIRD.items()
    ]

    view = await core.sync(source, rows)

    assert counters(view) == {"inserted": len(WEIRD)}
    found = await core.rows(source)
    assert {name: found[f"{key}/{name}"]["name"] for name in WEIRD} == WEIRD
    assert all(row["sku"] is None for row in found.values())
    assert json.loads(found[f"{key}/control"]["extra"])["raw\t\\"] == WEIRD["control"]
    assert counters(await core.sync(source, rows)) == {"unchanged": len(WEIRD)}


async def test_every_type_of_every_entity_makes_the_round_trip(core: Core) -> None:
    source = await core.source()
    digits = "12345678901234567890.123456789012345678901234567890"
    await core.sync(source, [item("i", quantity_on_hand=digits, unit_cost="-0.10", status="inactive")])
    await core.sync(source, [item("v", entity="vendors", lead_time_days="14")], entity="vendors")
    await core.sync(source, [order("p", [{"quantity": digits}], order_date="2026-02-28")], entity="purchase_orders")

    assert str((await core.rows(source))["i"]["quantity_on_hand"]) == digits
    assert (await core.rows(source, "vendors"))["v"]["lead_time_days"] == 14
    assert (await core.rows(source, "purchase_orders"))["p"]["order_date"].isoformat() == "2026-02-28"
    assert str((await core.lines(source, "p"))[0]["quantity"]) == digits


# --- purchase orders and their lines


async def orders(core: Core, source, *rows):
    return counters(await core.sync(source, list(rows), entity="purchase_orders"))


async def test_lines_that_are_added_removed_and_changed_update_their_order(core: Core) -> None:
    source = await core.source()
    one, two, three = {"sku": "A", "quantity": "1"}, {"sku": "B", "quantity": "2"}, {"sku": "C", "quantity": "3"}
    assert await orders(core, source, order("p", [one, two]), order("q", [one])) == {"inserted": 2}
    first = await core.lines(source, "p")
    other = await core.lines(source, "q")

    assert await orders(core, source, order("p", [one, two]), order("q", [one])) == {"unchanged": 2}
    assert await core.lines(source, "p") == first

    assert await orders(core, source, order("p", [one, two, three]), order("q", [one])) == {
        "updated": 1,
        "unchanged": 1,
    }
    added = await core.lines(source, "p")
    assert [line["sku"] for line in added] == ["A", "B", "C"]
    assert added[:2] == first, "the lines that were equal are not written again"

    assert await orders(core, source, order("p", [one, three]), order("q", [one])) == {"updated": 1, "unchanged": 1}
    removed = await core.lines(source, "p")
    assert [(line["line_number"], line["sku"]) for line in removed] == [(1, "A"), (2, "C")]

    changed = order("p", [{**one, "quantity": "9"}, three])
    assert await orders(core, source, changed, order("q", [one])) == {"updated": 1, "unchanged": 1}
    assert [line["quantity"] for line in await core.lines(source, "p")] == [9, 3]

    assert await orders(core, source, order("p", []), order("q", [one])) == {"updated": 1, "unchanged": 1}
    assert await core.lines(source, "p") == []
    assert await core.lines(source, "q") == other


async def test_lines_that_are_not_mapped_stay_untouched(core: Core) -> None:
    source = await core.source()
    await orders(core, source, order("p", [{"sku": "A"}]))
    before = await core.lines(source, "p")

    assert await orders(core, source, order("p", None)) == {"unchanged": 1}
    assert await orders(core, source, order("p", None, notes="new")) == {"updated": 1}

    assert await core.lines(source, "p") == before


async def test_a_changed_line_moves_the_order_s_change_time(core: Core) -> None:
    source = await core.source()
    await orders(core, source, order("p", [{"sku": "A"}]))
    before = (await core.rows(source, "purchase_orders"))["p"]

    await orders(core, source, order("p", [{"sku": "B"}]))

    after = (await core.rows(source, "purchase_orders"))["p"]
    assert after["last_changed_at"] > before["last_changed_at"]


async def test_a_header_change_alone_leaves_equal_lines_unwritten(core: Core) -> None:
    source = await core.source()
    await orders(core, source, order("p", [{"sku": "A"}, {"sku": "B"}]))
    before = await core.lines(source, "p")

    assert await orders(core, source, order("p", [{"sku": "A"}, {"sku": "B"}], notes="new")) == {"updated": 1}

    assert await core.lines(source, "p") == before


# --- one key several times


async def test_a_key_twice_in_one_batch_counts_once_and_the_last_record_wins(core: Core) -> None:
    source = await core.source()

    view = await core.sync(source, [item("a", name="first"), item("b"), item("a", name="last")])

    assert counters(view) == {"inserted": 2, "duplicates": 1}
    assert (await core.rows(source))["a"]["name"] == "last"


async def three_pages(core: Core, run) -> list:
    """Pages 1 to 3, each with the key `x` in another form and one of its own."""
    batches = []
    for number in (1, 2, 3):
        epoch = await core.page(run, number, 2, last=number == 3)
        rows = [item("x", name=f"page {number}"), item(f"own {number}")]
        batches.append(core.batch(run, epoch, rows, page_no=number))
    return batches


@pytest.mark.parametrize(
    "groups",
    [
        [[0, 1, 2]],
        [[2, 1, 0]],
        [[0], [1], [2]],
        [[2], [1], [0]],
        [[1], [2], [0]],
        [[1], [0], [2]],
        [[2], [0, 1]],
        [[0, 2], [1]],
        [[0], [2, 1], [1, 0]],
    ],
    ids=str,
)
async def test_of_one_key_on_several_pages_the_highest_wins_in_whichever_order_they_are_written(
    core: Core, groups: list[list[int]]
) -> None:
    source = await core.source()
    run = await core.running(source)
    batches = await three_pages(core, run)

    for group in groups:
        await core.write(*[batches[index] for index in group])
    await core.close(run)

    view = (await core.view(run)).entities["inventory"]
    assert view.status == "succeeded", view
    assert counters(view) == {"inserted": 4, "duplicates": 2}
    assert (await core.rows(source))["x"]["name"] == "page 3"
    marks = await core.admin.fetch(
        "select inserted, updated, unchanged, duplicates, read from sync_batches where run_id = $1 order by page_no",
        run,
    )
    assert [tuple(mark) for mark in marks] == [(1, 0, 0, 1, 2), (1, 0, 0, 1, 2), (2, 0, 0, 0, 2)]


async def test_a_key_that_changes_back_within_a_run_is_still_one_update(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("x", name="old"), item("y")])
    run = await core.running(source)

    view = await core.read(run, [item("x", name="new"), item("y")], [item("x", name="old")])

    assert view.read == 3
    assert counters(view) == {"updated": 1, "unchanged": 1, "duplicates": 1}
    assert (await core.rows(source))["x"]["name"] == "old"


# --- rejects


async def test_rejects_are_stored_and_their_keys_count_as_seen(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("b")])

    view = await core.sync(source, [item("a")], rejects=[reject("b", "expected a number, got text")])

    assert view.status == "partial"
    assert counters(view) == {"unchanged": 1, "quarantined": 1}
    assert view.deleted == 0
    assert set(await core.rows(source)) == {"a", "b"}
    [stored] = await core.admin.fetch("select * from quarantined_records where source_id = $1", source)
    assert (stored["external_id"], stored["field"], stored["reason"]) == (
        "b", "quantity_on_hand", "expected a number, got text",
    )  # fmt: skip
    assert stored["raw"] == '{"bad": true}'
    assert stored["resolved_at"] is None


async def test_a_reject_without_a_key_forbids_deletes(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("b")])

    view = await core.sync(source, [item("a")], rejects=[reject(None)])

    assert view.status == "partial"
    assert (view.deleted, view.delete_proposal) == (0, None)
    assert set(await core.rows(source)) == {"a", "b"}


async def test_a_later_read_resolves_the_quarantine(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a")], rejects=[reject("b"), reject("c")])

    await core.sync(source, [item("a"), item("b")], rejects=[reject("c")], mode="incremental")

    open_ones = await core.admin.fetch(
        "select external_id, run_id from quarantined_records where source_id = $1 and resolved_at is null", source
    )
    assert [row["external_id"] for row in open_ones] == ["c"]


# --- messages that do not count


async def test_the_same_batch_twice_is_written_once(core: Core) -> None:
    source = await core.source()
    run = await core.running(source)
    batch = core.batch(run, await core.page(run, 1, 2), [item("a"), item("b")], rejects=[])

    assert len(await core.write(batch, batch)) == 1
    assert await core.write(batch) == []
    await core.close(run)

    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 2}
    assert await core.write(batch) == [], "nor after the end"


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


# --- two at once


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


# --- dry runs and voided batches


async def test_a_dry_run_counts_and_writes_nothing(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("b"), item("gone")])
    rows, row = await core.rows(source), await core.source_row(source)

    view = await core.sync(
        source, [item("a", name="new"), item("b")], [item("c"), item("a", name="newer")],
        rejects=[reject("r")], dry_run=True,
    )  # fmt: skip

    assert counters(view) == {"inserted": 1, "updated": 1, "unchanged": 1, "duplicates": 1, "quarantined": 1}
    assert (view.deleted, view.delete_proposal) == (0, None)
    assert await core.rows(source) == rows
    assert await core.admin.fetchval("select count(*) from quarantined_records where source_id = $1", source) == 0
    after = await core.source_row(source)
    assert (after["sync_status"], after["last_sync_at"]) == (row["sync_status"], row["last_sync_at"])


async def test_a_row_counts_as_inserted_although_the_batch_that_inserted_it_was_voided(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("old", sku="1")])
    run = await core.running(source)
    rows = [[item("old", sku="2")], [item("new")]]
    epoch = await core.page(run, 1, 2, batches=2)
    await core.write(core.batch(run, epoch, rows[0], batch_no=0))
    again = await core.page(run, 1, 2, batches=2)  # its fetcher died before it had sent the second batch
    assert await core.admin.fetchval("select count(*) from sync_batches where run_id = $1", run) == 0
    await core.write(*[core.batch(run, again, rows[number], batch_no=number) for number in (0, 1)])
    await core.close(run)

    assert counters((await core.view(run)).entities["inventory"]) == {"inserted": 1, "updated": 1}
