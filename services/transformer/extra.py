"""`extra`: the raw fields that no rule maps, as JSON text that `jsonb` takes; and a rejected record's own text."""

import re
from collections.abc import Sequence
from decimal import Decimal

from shared.contracts.messages import RawRecord, encode_json, encode_json_lines
from shared.expressions.exact import is_number, plain_text
from shared.expressions.limits import ExpressionError, Meter
from shared.expressions.values import json_text

MAX_EXTRA_BYTES = 64_000
MAX_RAW_CHARS = 1_000_000
TRUNCATED = "_truncated"
"""Set to true in an `extra` that had to leave out fields."""

_MAX_JSONB_EXPONENT = 10_000
_MAX_JSONB_DIGITS = 10_000
_MAX_INT_BITS = 13_000
"""Below the 4300 digits that Python writes."""
_SUSPICIOUS_BYTES = 10_000
_MAX_UTF8 = 4
"""Bytes of one character."""
_HUGE_EXPONENT = re.compile(rb"E[+-][0-9]{4,}")
_SURROGATE = re.compile("[\ud800-\udfff\0]")


def extra_text(fields: RawRecord) -> str:
    """JSON text of the fields in the source's order, at most MAX_EXTRA_BYTES: the largest fields are left out first.

    What `jsonb` cannot hold is replaced: NUL characters and lone surrogates by U+FFFD, numbers of absurd size by
    their text.
    """
    if not fields:
        return "{}"
    try:
        data = encode_json(fields)
        if len(data) < _SUSPICIOUS_BYTES and not _is_suspicious(data):
            return data.decode()
    except (ValueError, RecursionError):
        pass  # a lone surrogate, an endless int or deep nesting: the slow way finds out
    try:
        clean = {_clean_text(key): _clean(value) for key, value in fields.items()}
        data = encode_json(clean)
        return data.decode() if len(data) <= MAX_EXTRA_BYTES else _smallest(clean)
    except RecursionError:
        return f'{{"{TRUNCATED}":true}}'


def extra_texts(records: Sequence[RawRecord]) -> list[str]:
    """As `extra_text` of each, written at once where none of them gives cause to look closer."""
    try:
        data = encode_json_lines(records)
    except (ValueError, RecursionError):
        return [extra_text(fields) for fields in records]
    if _is_suspicious(data):
        return [extra_text(fields) for fields in records]
    texts = data.decode().split("\n")[:-1]
    if len(data) < _SUSPICIOUS_BYTES or max(map(len, texts)) * _MAX_UTF8 < _SUSPICIOUS_BYTES:
        return texts
    return [
        text if len(text) * _MAX_UTF8 < _SUSPICIOUS_BYTES else extra_text(fields)
        for text, fields in zip(texts, records, strict=True)
    ]


def raw_text(record: object) -> str:
    """The record's JSON text for the quarantine, cut at MAX_RAW_CHARS."""
    try:
        return encode_json(record).decode()[:MAX_RAW_CHARS]
    except ValueError:
        pass  # a lone surrogate, or an int of more digits than Python writes
    except RecursionError:
        return '"nested too deeply to be kept"'
    try:
        return json_text(record, Meter(MAX_RAW_CHARS * 10))[:MAX_RAW_CHARS]
    except (ExpressionError, RecursionError):
        return '"too large to be kept"'


def _is_suspicious(data: bytes) -> bool:
    """Whether the JSON may hold a NUL character or a number that jsonb refuses."""
    return b"\\u0000" in data or _HUGE_EXPONENT.search(data) is not None


def _smallest(fields: RawRecord) -> str:
    sizes = {key: len(encode_json({key: value})) for key, value in fields.items()}
    left = MAX_EXTRA_BYTES - len(TRUNCATED) - 10
    kept: set[str] = set()
    for key in sorted(sizes, key=sizes.__getitem__):
        left -= sizes[key]
        if left < 0:
            break
        kept.add(key)
    return encode_json({key: value for key, value in fields.items() if key in kept} | {TRUNCATED: True}).decode()


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, list):
        return [_clean(element) for element in value]
    if isinstance(value, dict):
        return {_clean_text(key): _clean(element) for key, element in value.items()}
    if is_number(value) and _is_huge(value):
        return plain_text(value)
    return value


def _clean_text(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _is_huge(number: int | Decimal) -> bool:
    if isinstance(number, Decimal):
        return abs(number.adjusted()) > _MAX_JSONB_EXPONENT or len(number.as_tuple().digits) > _MAX_JSONB_DIGITS
    return number.bit_length() > _MAX_INT_BITS
