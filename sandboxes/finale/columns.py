"""Column-major collections: one object of parallel lists (Finale documentation, resource patterns)."""

from collections.abc import Sequence
from typing import Any

from sandboxes.finale.store import Record


def columns(rows: Sequence[Record]) -> dict[str, list[Any]]:
    """The rows as columns of one length: null where a row has no value, [] where others have a list.

    A column that no row uses is left out.
    """
    names: dict[str, None] = {}
    lists: set[str] = set()
    for row in rows:
        if names.keys() != row.keys():
            names.update(dict.fromkeys(row))
        lists.update(name for name, value in row.items() if isinstance(value, list))
    result: dict[str, list[Any]] = {}
    for name in names:
        if name in lists:
            result[name] = [[] if row.get(name) is None else row[name] for row in rows]
        else:
            column = [row.get(name) for row in rows]
            if any(value is not None for value in column):
                result[name] = column
    return result
