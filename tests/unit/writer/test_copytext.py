"""COPY's text form: what Postgres reads is what went in, whichever of the two ways encoded it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.writer.copytext import encode_columns

cell = st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1))
_READ = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def encoded(rows: list[list[str | None]]) -> list[str]:
    text = b"".join(encode_columns([*zip(*rows, strict=True)])).decode()
    return [line + "\n" for line in text.split("\n")[:-1]]


def as_postgres_reads(line: str) -> list[str | None]:
    assert line.endswith("\n")
    assert line.count("\n") == 1
    found: list[str | None] = []
    for cell in line[:-1].split("\t"):
        if cell == "\\N":
            found.append(None)
            continue
        text, letters = "", iter(cell)
        for letter in letters:
            text += _READ[next(letters)] if letter == "\\" else letter
        found.append(text)
    return found


@given(tables)
@example([["\\N", None]])
@example([["\\", None], ["a", "b"]])
@example([["a\\b"], [None]])
@example([["\\.", "x"]])
@example([[None, None, "\\\\"]])
@example([["plain", "tab\t"], ["too", None], ["", "\r\n"]])
def test_what_postgres_reads_is_what_went_in(rows: list[list[str | None]]) -> None:
    assert [as_postgres_reads(line) for line in encoded(rows)] == rows


@pytest.mark.parametrize("count", [999, 1_000, 1_001, 2_000])
def test_many_rows_come_in_pieces_and_none_is_lost(count: int) -> None:
    rows = [[str(number), None if number % 7 else "x"] for number in range(count)]
    assert [as_postgres_reads(line) for line in encoded(rows)] == rows


def test_plain_rows_are_joined() -> None:
    assert encoded([["a", None, "", "ü"], ["b", "c", None, "d"]]) == ["a\t\\N\t\tü\n", "b\tc\t\\N\td\n"]
