"""COPY's text form: what Postgres reads is what went in, whichever of the two ways encoded it."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.writer.copytext import encode_row

cells = st.lists(st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5)
_READ = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


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


@given(cells)
@example(["\\N", None])
@example(["\\", None])  # one backslash and one null: the counts alone would look clean
@example(["a\\b"])
@example(["\\.", "x"])
@example(["\\N"])
@example([None, None, "\\\\"])
def test_what_postgres_reads_is_what_went_in(row: list[str | None]) -> None:
    assert as_postgres_reads(encode_row(row)) == row


def test_a_plain_row_is_joined() -> None:
    assert encode_row(["a", None, "", "ü"]) == "a\t\\N\t\tü\n"
