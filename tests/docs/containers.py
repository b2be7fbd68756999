"""Dockerfile and docker-compose.yml as data."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml
from pages import text_of

_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


class Instruction(NamedTuple):
    """One instruction of a Dockerfile: its word, and the rest with continued lines joined."""

    word: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text_of("Dockerfile"), flags=re.MULTILINE))
    found: list[list[Instruction]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        assert word.isupper(), f"not an instruction: {line}"
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(word, rest.strip()))
    return found


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text_of("docker-compose.yml"))
    return document


def variables_in(node: object) -> dict[str, str | None]:
    """`${NAME:-default}` and `${NAME:?message}` in it: the default by name, None for what must be set."""
    found: dict[str, str | None] = {}
    for name, kind, default in _VARIABLE.findall(str(node)):
        found[name] = default if kind == "-" else None
    return found


def filled(text: str, values: Mapping[str, str]) -> str:
    """As compose does it. Raises KeyError for a variable that must be set and is not."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        return values.get(name) or default if kind == "-" else values[name]

    return _VARIABLE.sub(value, text)
