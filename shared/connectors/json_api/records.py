"""The list of records in an answer: by any expression in a whole body, by a plain path in one that is streamed."""

import re
from typing import Any, NamedTuple

from shared.connector_sdk.paging import NoListError, Path
from shared.errors import DataError, MappingError
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath, compile_expression, compile_path
from shared.expressions.values import type_name

_PLAIN = re.compile(r"\s*(?:@|([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*))\s*(\|\|\s*`\s*\[\s*\]\s*`\s*)?", re.ASCII)


class PlainPath(NamedTuple):
    """Keys from the top to the list; `optional`: null or nothing there is an empty list."""

    keys: tuple[str, ...]
    optional: bool


def plain_path(records_path: str | None) -> PlainPath | None:
    """The path as keys, if it is one that a stream can be searched by: `data.items`, also with ``|| `[]` `` behind."""
    match = _PLAIN.fullmatch(records_path or "@")
    if match is None:
        return None
    return PlainPath(tuple(match[1].split(".")) if match[1] else (), match[2] is not None)


def answer_path(text: str, name: str) -> Path:
    """The getter of an expression on a whole answer. It raises DataError for an answer that it does not fit."""
    compiled = compile_expression(text)

    def find(body: Any) -> Any:
        try:
            return compiled.get(body)
        except ExpressionError as error:
            raise DataError(f"{name} does not fit the answer: {error}") from None

    return find


def records_of(body: Any, records_path: str | None) -> list[Any]:
    """The list, if it is empty or at least one of its elements is an object: any other is rejected by itself later.

    Raises NoListError where null is written in its place, DataError for all else that is no list.
    """
    found: Any = body if records_path is None else answer_path(records_path, "records_path")(body)
    if not isinstance(found, list):
        error = no_list(type_name(found), records_path)
        raise NoListError(error.message, hint=error.hint) if _is_null(body, records_path) else error
    if found and not any(isinstance(element, dict) for element in found):
        raise no_objects(type_name(found[0]), records_path)
    return found


def keys_of(records: list[Any], id_path: str) -> list[Any]:
    """What tells the records apart: their ids, and of one without an id all of it."""
    try:
        path = compile_path(id_path)
    except MappingError:  # a name that looks like an expression: the mapping knows more of it
        return records
    return [_key_of(path, record) for record in records]


def _key_of(path: CompiledPath, record: Any) -> Any:
    try:
        found = path.get(record) if isinstance(record, dict) else None
    except ExpressionError:
        found = None
    return record if found is None else found


def no_list(found: str, records_path: str | None) -> DataError:
    """`found` is the JSON type of what is there instead."""
    hint = "Set records_path to where the list is." if records_path is None else "Check records_path."
    return DataError(f"{_place(records_path)} holds {found} where a list of objects was due", hint=hint)


def _is_null(body: Any, records_path: str | None) -> bool:
    """Whether the answer says null at a plain path. Nothing there, as in an error's body, is another thing."""
    path = plain_path(records_path)
    found = [body]
    for key in () if path is None else path.keys:
        found = [inside[key] for inside in found if isinstance(inside, dict) and key in inside]
    return path is not None and found == [None]


def no_objects(first: str, records_path: str | None) -> DataError:
    """`first` is the JSON type of the list's first element."""
    return DataError(
        f"{_place(records_path)} holds a list whose element 0 is {first}, and no object among the others",
        hint="Check records_path.",
    )


def _place(records_path: str | None) -> str:
    return "the answer" if records_path is None else "records_path"
