import pytest

from shared.storage.deletes import above_threshold


@pytest.mark.parametrize(
    ("vanished", "live", "above"),
    [
        (0, 0, False),
        (1, 1, False),
        (2, 2, False),  # both of two: less than three rows are never worth a person's time
        (3, 3, True),
        (3, 5, True),
        (3, 6, False),  # exactly half
        (4, 7, True),
        (20, 40, False),
        (20, 39, True),
        (20, 100, False),  # not more than 20 rows
        (21, 100, True),
        (21, 209, True),
        (21, 210, False),  # exactly a tenth
        (100, 1000, False),
        (101, 1000, True),
        (1_000_000, 10_000_000, False),
    ],
)
def test_more_than_a_tenth_and_twenty_rows_or_more_than_half_and_three_need_a_person(
    vanished: int, live: int, above: bool
) -> None:
    assert above_threshold(vanished, live) is above
