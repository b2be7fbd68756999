"""The push parser reads what csv.writer wrote, however the text is cut, and stays within its bounds."""

import csv
import io
import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.connector_sdk.csv_rows import MAX_FIELD_CHARS, MAX_ROW_CHARS, BrokenRow, RowReader
from shared.errors import DataError, UnusableBodyError

Rows = list[list[str] | BrokenRow]


def reader(*, delimiter: str = ",", quotechar: str = '"', skip_lines: int = 0) -> RowReader:
    return RowReader(delimiter=delimiter, quotechar=quotechar, skip_lines=skip_lines, place="the file")


def read(rows: RowReader, pieces: Iterable[str]) -> Rows:
    found: Rows = []
    for piece in pieces:
        found.extend(rows.feed(piece))
    found.extend(rows.finish())
    return found


def cut(text: str, sizes: random.Random) -> list[str]:
    """The text in pieces, some of them empty or one character long."""
    pieces, at = [], 0
    while at < len(text):
        size = sizes.choice((0, 1, 1, 2, 3, 7, 40))
        pieces.append(text[at : at + size])
        at += size
    return pieces


CELLS = st.text(
    st.one_of(st.sampled_from("\"';,\t|\r\n \\a\u2028\x0c\x85é"), st.characters(exclude_categories=["Cs"])), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=8),
    dialect=st.tuples(st.sampled_from(",;\t|:"), st.sampled_from("\"'"), st.sampled_from(["\n", "\r\n", "\r"])),
    quote_all=st.booleans(),
    last_line_end=st.booleans(),
    cuts=st.integers(0, 2**32).map(random.Random),
)
def test_what_a_writer_wrote_is_read_back(
    rows: list[list[str]],
    dialect: tuple[str, str, str],
    quote_all: bool,
    last_line_end: bool,
    cuts: random.Random,
) -> None:
    delimiter, quotechar, line_end = dialect
    text = io.StringIO(newline="")
    # Python's writer leaves a CR bare when lines end with LF alone, and the other way round; no reader could know
    bare = any(char in cell for row in rows for cell in row for char in "\r\n" if char not in line_end)
    quoting = csv.QUOTE_ALL if quote_all or bare else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, quotechar=quotechar, lineterminator=line_end, quoting=quoting).writerows(rows)
    written = text.getvalue() if last_line_end else text.getvalue().removesuffix(line_end)

    assert read(reader(delimiter=delimiter, quotechar=quotechar), cut(written, cuts)) == rows


def test_lines_are_counted_and_rows_keep_their_text() -> None:
    rows = reader(skip_lines=2)
    seen = [
        (rows.line, rows.raw, row)
        for row in rows.feed('Export "of"\r\n\r\nsku,name\r\n1,"a\r\nb"\r\n\r\n2,b"q\r\n"3" x,c\r\n4,d\r\n')
    ]
    assert seen == [
        (3, "sku,name", ["sku", "name"]),
        (4, '1,"a\r\nb"', ["1", "a\r\nb"]),
        (6, "", []),
        (7, '2,b"q', ["2", 'b"q']),
        (8, '"3" x,c', BrokenRow("a quoted value goes on behind its closing quote")),
        (9, "4,d", ["4", "d"]),
    ]


def test_without_a_quote_character_quotes_are_text() -> None:
    assert read(reader(quotechar=""), ['"a,b"\n']) == [['"a', 'b"']]


@pytest.mark.parametrize("pieces", [['a,b\n1,"half'], ["a,b\n1,", '"', "half\n", "more\n"]])
def test_an_end_inside_quotes_is_a_cut_file(pieces: list[str]) -> None:
    with pytest.raises(UnusableBodyError, match="line 2"):
        read(reader(), pieces)


@pytest.mark.parametrize(
    ("start", "piece", "says"),
    [
        ("", "x" * 1000, "row"),  # no line end at all
        ('"', "x\n" * 500, "value"),  # a quote that never ends
        ('"', 'x\n","' * 200, "row"),  # neither does this row, though each of its values is short
        ("", '"' + "x" * (MAX_FIELD_CHARS + 1) + '"\n', "value"),
    ],
)
def test_what_has_no_end_is_refused_while_it_is_still_small(start: str, piece: str, says: str) -> None:
    fed = 0

    def counted() -> Iterable[str]:
        nonlocal fed
        for text in ("x,y\n", start, *[piece] * 100_000):
            fed += len(text)
            yield text

    with pytest.raises(DataError, match=f"a {says} of more than .* in line 2"):
        read(reader(), counted())
    assert fed <= 2 * MAX_ROW_CHARS + 2 * len(piece)


def test_a_long_row_in_tiny_pieces_is_read_in_linear_time() -> None:
    value = "x\n" * 100_000
    started = time.perf_counter()
    assert read(reader(), ['"', *value, '"\n', "a\n"]) == [[value], ["a"]]
    assert time.perf_counter() - started < 5  # 0.1 s; read again for each piece it would take minutes
