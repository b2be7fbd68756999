"""One record by its external id: the address, and the record in the answer. Pure."""

from typing import Any
from urllib.parse import quote

from shared.connectors.json_api.config import ID_PLACE, EntityConfig
from shared.connectors.json_api.records import answer_path
from shared.contracts.messages import RawRecord
from shared.errors import DataError
from shared.expressions.exact import is_number, plain_text
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath, compile_path

GONE = frozenset({404, 410})
"""Statuses of an address that holds a record no more."""
_STEPS = frozenset({".", ".."})


def address(by_id_url: str, external_id: str) -> str:
    """The URL of one record; whatever the id is, it stays one part of the path or the query.

    Raises DataError for an id that no URL can hold so.
    """
    try:
        escaped = quote(external_id, safe="")
    except UnicodeEncodeError:
        escaped = ""
    if not escaped or external_id in _STEPS:
        raise DataError("a webhook named an id that cannot be a part of by_id_url", hint="Check what the sender posts.")
    return by_id_url.replace(ID_PLACE, escaped)


def record_of(body: Any, config: EntityConfig, external_id: str) -> RawRecord | None:
    """The record in the answer: the whole body, or what `records_path` finds in it, alone or in a list.

    None when the list is empty: then there is no such record. Raises DataError when the answer holds another one.
    """
    path = compile_path(config.id_path)
    found = body
    for _ in range(2):
        for candidate in found if isinstance(found, list) else [found]:
            if isinstance(candidate, dict) and _id_of(path, candidate) == external_id:
                return candidate
        if found == []:
            return None
        if config.records_path is None:
            break
        found = answer_path(config.records_path, "records_path")(body)
    raise DataError(
        "the answer of by_id_url holds no record with the id that was asked for",
        hint="Check by_id_url, id_path, and records_path where the record is inside another object.",
    )


def _id_of(path: CompiledPath, record: RawRecord) -> str | None:
    try:
        value = path.get(record)
    except ExpressionError:
        return None
    return plain_text(value) if is_number(value) else value if isinstance(value, str) else None
