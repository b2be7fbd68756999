"""Postgres' COPY text format: cells are text already, so encoding is joining and, rarely, escaping."""

from collections.abc import Sequence

from shared.contracts.records import Cell

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def encode_row(cells: Sequence[Cell]) -> str:
    """One line of COPY text, with its line feed."""
    joined = "\t".join(["\\N" if cell is None else cell for cell in cells])
    # One look at the joined line tells whether any cell needs escaping; most lines need none.
    clean = (
        joined.count("\t") == len(cells) - 1
        and joined.count("\\") == cells.count(None)
        and "\n" not in joined
        and "\r" not in joined
    )
    if clean:
        return joined + "\n"
    return "\t".join(["\\N" if cell is None else cell.translate(_ESCAPES) for cell in cells]) + "\n"
