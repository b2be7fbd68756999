"""Whether a JSON Schema still accepts all that an older one accepted, judged keyword by keyword.

What it does not know counts as breaking: who changes a public schema in a new way adds the rule here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = {"title", "description", "examples", "$comment", "deprecated"}
_LOWER_BOUNDS = {"minItems", "minLength", "minimum", "minProperties"}
_UPPER_BOUNDS = {"maxItems", "maxLength", "maximum", "maxProperties"}
Schema = Mapping[str, Any]


def breaks(old: Schema, new: Schema, path: str = "$") -> list[str]:
    """What is not accepted any more, or means something else; empty when only things were added."""
    return list(_breaks(old, new, path))


def _breaks(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keyword in sorted((old.keys() | new.keys()) - _WORDS):
        before, after = old.get(keyword), new.get(keyword)
        if before == after or _loosened(keyword, before, after):
            continue
        match keyword:
            case "properties":
                yield from _properties(before or {}, after or {}, path)
            case "required":
                for name in sorted(set(after or ()) - set(before or ())):
                    yield f"{path}.{name}: has become required"
            case "items" if before is not None and after is not None:
                yield from _breaks(before, after, f"{path}[]")
            case _:
                yield f"{path}: {keyword} was {before!r} and is {after!r}"


def _loosened(keyword: str, before: Any, after: Any) -> bool:
    """Whether a constraint accepts all that it accepted."""
    if keyword == "additionalProperties":
        return before is False
    if after is None:
        return keyword in _LOWER_BOUNDS | _UPPER_BOUNDS | {"enum", "const", "format", "anyOf"}
    if before is None:
        return False
    if keyword == "enum":
        return all(value in after for value in before)
    if keyword == "anyOf":
        return all(any(not breaks(branch, other) for other in after) for branch in before)
    return (keyword in _LOWER_BOUNDS and after < before) or (keyword in _UPPER_BOUNDS and after > before)


def _properties(old: Mapping[str, Schema], new: Mapping[str, Schema], path: str) -> Iterator[str]:
    for name, schema in old.items():
        if name in new:
            yield from _breaks(schema, new[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: is gone"
