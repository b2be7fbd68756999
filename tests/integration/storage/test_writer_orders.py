"""Purchase orders and their lines, as one thing."""

from core_rig import Core, counters, order


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


async def test_lines_keep_the_order_in_which_the_source_gives_them(core: Core) -> None:
    source = await core.source()
    ten, twenty = {"line_number": "10", "sku": "A"}, {"line_number": "20", "sku": "B"}

    async def places() -> list[tuple[int, int]]:
        return [(line["line_number"], line["place"]) for line in await core.lines(source, "p")]

    assert await orders(core, source, order("p", [twenty, ten])) == {"inserted": 1}
    assert await places() == [(10, 2), (20, 1)]
    assert await orders(core, source, order("p", [twenty, ten])) == {"unchanged": 1}
    assert await orders(core, source, order("p", [ten, twenty])) == {"updated": 1}
    assert await places() == [(10, 1), (20, 2)]

    await core.admin.execute("update purchase_order_lines set place = null where line_number = 10")
    assert await orders(core, source, order("p", [{**ten, "line_number": "1"}, twenty])) == {"updated": 1}
    await core.admin.execute("update purchase_order_lines set place = null where line_number = 1")
    assert await orders(core, source, order("p", [{**ten, "line_number": "1"}, twenty])) == {"unchanged": 1}


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
