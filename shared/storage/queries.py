"""Named SQL: `.sql` files beside their owner, blocks that start with `-- name: word`."""

import re
from collections.abc import Mapping
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries(Mapping[str, str]):
    """The blocks of one file by name; a missing name is a KeyError that says which file was read."""

    def __init__(self, origin: str, blocks: Mapping[str, str]) -> None:
        self._origin = origin
        self._blocks = dict(blocks)

    def __getitem__(self, name: str) -> str:
        try:
            return self._blocks[name]
        except KeyError:
            raise KeyError(f"{self._origin} has no query named {name}") from None

    def __iter__(self):  # type: ignore[no-untyped-def] # Mapping's abstract method; the type follows from the base
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


def load_queries(package: str, file: str) -> Queries:
    """Read `sql/<file>` of a package."""
    text = resources.files(package).joinpath("sql", file).read_text("utf-8")
    parts = _NAME.split(text)
    if parts[0].strip(" \n-") and not parts[0].lstrip().startswith("--"):
        raise ValueError(f"{package}/sql/{file}: SQL before the first `-- name:`")
    return Queries(f"{package}/sql/{file}", dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """`:name` by its value, for what can be no parameter: our own tables and columns, never what was sent."""
    # longest first: `:line_columns` must not be cut by `:line`
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f":{name}", values[name])
    return text
