"""Which record of a key is staged, and that the tallies always add up."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.writer.grouping import Group, group_batches, place_of
from shared.contracts.ids import RunId
from shared.contracts.messages import PageTransformed
from shared.contracts.records import RecordReject, Row

RUN = RunId(UUID(int=1))


def batch(
    page_no: int, keys: list[str], rejected: list[str | None] | None = None, batch_no: int = 0
) -> PageTransformed:
    rejects = [RecordReject(external_id=key, field=None, reason="no", raw="{}") for key in rejected or []]
    return PageTransformed(
        run_id=RUN, entity="vendors", page_no=page_no, batch_no=batch_no, epoch=1, mapping_version=1,
        read=len(keys) + len(rejects), filtered=0, max_updated_at=None,
        rows=[Row(key, [f"{page_no}.{batch_no}.{index}"], "{}", None) for index, key in enumerate(keys)],
        rejects=rejects,
    )  # fmt: skip


def balanced(group: Group) -> bool:
    return all(
        tally.staged + tally.duplicates + len(tally.batch.rejects) == tally.batch.read
        for tally in group.tallies.values()
    )


def test_the_last_record_of_a_key_in_a_batch_is_staged() -> None:
    group = group_batches([batch(1, ["a", "b", "a"])])
    assert {key: staged.row.cells for key, staged in group.staged.items()} == {"a": ["1.0.2"], "b": ["1.0.1"]}
    assert group.others == []
    assert group.tallies[1, 0].keys == 2
    assert balanced(group)


def test_the_higher_page_wins_in_any_order() -> None:
    for order in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        group = group_batches([batch(page, ["x"]) for page in order])
        assert group.staged["x"].place == (3, 0)
        assert sorted(group.others) == [("x", (1, 0), "d"), ("x", (2, 0), "d")]
        assert balanced(group)


def test_of_one_page_the_higher_batch_wins() -> None:
    group = group_batches([batch(1, ["x"], batch_no=10), batch(1, ["x"], batch_no=9)])
    assert group.staged["x"].place == (1, 10)


def test_the_same_message_twice_counts_once() -> None:
    group = group_batches([batch(1, ["a"]), batch(1, ["a"])])
    assert group.tallies[1, 0].staged == 1
    assert balanced(group)


def test_rejected_keys_are_seen_once_and_not_where_the_batch_has_the_row_too() -> None:
    group = group_batches([batch(1, ["a"], ["a", "b", "b", None])])
    assert group.others == [("b", (1, 0), "q")]
    assert (group.tallies[1, 0].keys, group.tallies[1, 0].keyless) == (2, 1)


keys = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 1), st.lists(keys, max_size=5), st.lists(keys, max_size=2)),
        max_size=6,
        unique_by=lambda made: made[:2],
    )
)
def test_whatever_comes_every_record_is_accounted_for_and_every_key_remembered(made: list) -> None:
    batches = [batch(page, rows, list(rejected), number) for page, number, rows, rejected in made]

    group = group_batches(batches)

    assert balanced(group)
    remembered = [(key, staged.place) for key, staged in group.staged.items()]
    remembered += [(key, place) for key, place, _ in group.others]
    assert len(remembered) == len(set(remembered)) == sum(tally.keys for tally in group.tallies.values())
    for key, staged in group.staged.items():
        assert staged.place == max(place_of(each) for each in batches if any(row[0] == key for row in each.rows))
