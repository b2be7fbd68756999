"""What the writer's one transaction does to rows, marks, keys seen and counters."""

import json

import pytest
from core_rig import Core, counters, item, order, reject


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


async def test_a_dry_run_counts_and_writes_nothing(core: Core) -> None:
    source = await core.source()
    await core.sync(source, [item("a"), item("b"), item("gone")])
    rows, row = await core.rows(source), await core.source_row(source)

    view = await core.sync(
        source, [item("a", name="new"), item("b")], [item("c"), item("a", name="newer")],
        rejects=[reject("r")], dry_run=True,
    )  # fmt: skip

    assert counters(view) == {"inserted": 1, "updated": 1, "unchanged": 1, "duplicates": 1, "quarantined": 1}
    assert (view.deleted, view.delete_proposal) == (1, None)
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


async def test_extras_that_were_sent_beforehand_are_written_for_the_rows_that_differ_alone(core: Core) -> None:
    """After a group that was new for the most part, the next one brings its extras along."""
    source = await core.source()
    await core.sync(source, [item(key, extra={"old": key}) for key in "cdefg"])
    pages = [
        [item(key, extra={"new": key}) for key in "ab"],
        [item("c", sku="1", extra={"new": "c"}), *(item(key, extra={"new": key}) for key in "defgh")],
        [item("i", extra={"new": "i"})],
    ]

    view = await core.sync(source, *pages)

    assert counters(view) == {"inserted": 4, "updated": 1, "unchanged": 4}
    extras = {key: json.loads(row["extra"]) for key, row in (await core.rows(source)).items()}
    assert extras == {key: {"new": key} for key in "abchi"} | {key: {"old": key} for key in "defg"}
