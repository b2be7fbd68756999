"""Postgres' COPY text format, by columns: cells are text already, so encoding is joining and, rarely, escaping."""

from collections.abc import Iterator, Sequence
from itertools import islice

from shared.contracts.records import Cell

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = "\\N"
_LINES = 1_000
"""Rows that are made text at a time."""


def encode_columns(columns: Sequence[Sequence[Cell]]) -> Iterator[bytes]:
    """Some lines of COPY text at a time, of columns of equal length.

    By columns because one look at all cells of a column tells whether any needs escaping, and most need none.
    """
    lines = map("\t".join, zip(*map(_escaped, columns), strict=True))
    while some := list(islice(lines, _LINES)):
        yield ("\n".join(some) + "\n").encode()


def _escaped(column: Sequence[Cell]) -> Sequence[str]:
    there = [cell for cell in column if cell is not None]
    whole = "".join(there)
    if "\\" in whole or "\t" in whole or "\n" in whole or "\r" in whole:
        return [_NULL if cell is None else cell.translate(_ESCAPES) for cell in column]
    if len(there) == len(column):
        return there
    return [_NULL if cell is None else cell for cell in column]
