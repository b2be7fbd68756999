"""Reading the project's pages: tables under their headings, links, anchors, commands."""

import os
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")


class Row(NamedTuple):
    """One row of a table: its cells, and the name in its first cell without the backticks."""

    name: str
    cells: tuple[str, ...]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def pages() -> list[str]:
    """Every page for readers, as a path from the root; what .gitignore names, in a used checkout, is none of ours."""
    ignored = [line.strip("/") for line in text_of(".gitignore").splitlines() if line]
    found = []
    for folder, folders, files in os.walk(ROOT):
        inside = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if name != ".git" and not _is_ignored(inside / name, ignored)]
        found += [str(inside / name) for name in files if name.endswith(".md")]
    return sorted(found)


def _is_ignored(path: Path, patterns: list[str]) -> bool:
    """As git reads a pattern: a path from the root where it has a slash inside, else a name anywhere."""
    return any(fnmatch(str(path) if "/" in pattern else path.name, pattern) for pattern in patterns)


def table(page: str, heading: str, first_column: str) -> list[Row]:
    """The rows of the one table in that section whose first column is called so."""
    level, title = heading.split(" ", 1)
    lines = text_of(page).splitlines()
    assert heading in lines, f"{page} has no heading {title!r}"
    rows: list[Row] = []
    inside = False
    for line in lines[lines.index(heading) + 1 :]:
        if re.match(rf"#{{1,{len(level)}}} ", line):
            break
        if line.startswith(f"| {first_column} |"):
            assert not rows, f"{page}, {title}: two tables with a column {first_column!r}"
            inside = True
        elif inside and not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|--"):
            cells = tuple(cell.strip() for cell in _CELL.split(line)[1:-1])
            rows.append(Row(cells[0].strip("`"), cells))
    assert rows, f"{page}, {title}: no table with a column {first_column!r}"
    return rows


def names(rows: list[Row]) -> list[str]:
    return [row.name for row in rows]


def links(page: str) -> list[str]:
    """Where a page links to, but for other hosts; code is no link."""
    found = _LINK.findall(_FENCE.sub("", text_of(page)))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: str) -> str:
    """Everything that stands in backticks or fences."""
    text = text_of(page)
    return "\n".join([*_FENCE.findall(text), *re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))])
