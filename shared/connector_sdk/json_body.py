"""A vendor's JSON as exact values: bounded in depth, in any charset it admits to, never a float."""

import codecs
import re
from email.message import Message
from gc import is_tracked
from typing import Any

import msgspec

from shared.connector_sdk.text_body import text_codec
from shared.contracts.messages import decode_json
from shared.errors import DataError, UnusableBodyError

MAX_DEPTH = 100
"""Lists and objects inside each other. No stock record is near it; recursion anywhere downstream stays safe."""

_NESTING = frozenset({dict, list})
"""The decoder makes these very types, so `type` tells, several times quicker than isinstance on every value."""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPES = re.compile(
    r"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}  # both halves of a character
    | (?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})
    | \\.""",
    re.VERBOSE,
)
"""Escapes of a JSON text, so that `\\\\ud83d`, a backslash before plain letters, is none of the second kind."""


def parse_json(body: bytes, content_type: str = "") -> Any:
    """The value of a JSON body; numbers are int or Decimal, of a name used twice the last counts.

    Half a character (`\\ud83d`, an emoji that the vendor has cut in two) becomes U+FFFD: it stops no record.

    Raises UnusableBodyError for what is cut off or no JSON (`NaN` is none), DataError when it is nested too deeply.
    """
    try:
        charset, text = charset_of(body, content_type)
        value = _decode(text if charset is None else text.decode(charset))
    except RecursionError:
        raise nested_too_deeply() from None
    except UnicodeError:
        raise UnusableBodyError(
            "the answer's text is not in the charset it names (UTF-8 if none)", hint="The vendor must fix its charset."
        ) from None
    except msgspec.DecodeError as error:  # its text holds a position, never content
        raise UnusableBodyError(f"the answer is not whole, valid JSON: {error}") from None
    _check_depth(value)
    return value


def _decode(text: bytes | str) -> Any:
    try:
        return decode_json(text)
    except msgspec.DecodeError:
        whole = text if isinstance(text, str) else text.decode()
        if _SURROGATE.search(whole) is None:  # the usual case, a body that was cut: not worth a look at every escape
            raise
        mended = _ESCAPES.sub(lambda escape: "\\ufffd" if escape["half"] else escape[0], whole)
        if mended == whole:
            raise
        return decode_json(mended)


def charset_of(start: bytes, content_type: str) -> tuple[str | None, bytes]:
    """The charset of a body that begins so (None: UTF-8), and the beginning without its byte order mark."""
    for mark, charset in _MARKS:
        if start.startswith(mark):
            return (None if charset == "utf-8" else charset), start[len(mark) :]
    header = Message()
    header["Content-Type"] = content_type
    named = header.get_content_charset("utf-8")
    codec = text_codec(named)  # None for what nobody knows: JSON is UTF-8 unless proved otherwise
    return (None if codec in {None, "utf-8", "ascii"} else named), start


def nested_too_deeply() -> DataError:
    return DataError(f"the answer's JSON is nested more than {MAX_DEPTH} levels deep")


def _check_depth(value: Any) -> None:
    level = [value] if type(value) in _NESTING else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        # Python's collector tracks no dict of plain values alone: that tells the flat records without a look into each.
        # A Python that tracks every dict would make this slower, never wrong.
        level = [
            child
            for parent in level
            if is_tracked(parent)
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in _NESTING
        ]
    if level:
        raise nested_too_deeply()
