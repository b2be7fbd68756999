"""The external id: the text of what `id_path` finds, as it can be part of a unique index."""

from collections.abc import Sequence

from services.transformer.coerce import FieldError, expected, text_cell
from services.transformer.columns import Values, key_texts, values_of
from shared.contracts.messages import RawRecord
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath

MAX_EXTERNAL_ID_BYTES = 1_000
"""An external id is part of unique indexes, whose entries Postgres bounds at about 2700 bytes."""


class Keys:
    """Reads the external ids of one mapping."""

    def __init__(self, path: CompiledPath) -> None:
        self._path = path

    def read(self, record: RawRecord) -> tuple[str | None, str]:
        """The key's text, else None and what is wrong with it."""
        try:
            value = self._path.get(record)
        except ExpressionError as error:
            return None, str(error)
        return _key(value)

    def column(self, records: Sequence[RawRecord], doubtful: set[int]) -> list[str]:
        """The keys of many records; adds the places of those that have none."""
        values = values_of(self._path, records, doubtful)
        quick = _plain_keys(values)
        if quick is not None:
            return quick
        keys = [_key(value)[0] for value in values]
        doubtful.update(place for place, key in enumerate(keys) if key is None)
        return [key or "" for key in keys]


def _key(value: object) -> tuple[str | None, str]:
    if isinstance(value, bool):
        return None, expected("a key", value).reason
    text = ""
    try:
        text = "" if value is None else text_cell(value)
        size = len(text.encode())
    except FieldError as error:
        return None, error.reason
    except UnicodeEncodeError:
        size = -1
    if not text.strip():
        return None, "expected a key, got none"
    if not 0 < size <= MAX_EXTERNAL_ID_BYTES or "\0" in text:
        return None, f"expected at most {MAX_EXTERNAL_ID_BYTES} bytes, without NUL characters and lone surrogates"
    return text, ""


def _plain_keys(values: Values) -> list[str] | None:
    """The keys when all are there, short, and ASCII without NUL; a blank one is none."""
    texts = key_texts(values)
    if texts is None or not all(texts):
        return None
    keys: list[str] = texts  # type: ignore[assignment] # no None among them, just found out
    every = "".join(keys)
    if not every.isascii() or "\0" in every or max(map(len, keys), default=0) > MAX_EXTERNAL_ID_BYTES:
        return None
    return keys if all(map(str.strip, keys)) else None
