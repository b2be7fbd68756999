"""JSON values as JMESPath sees them: types, truth, equality and their text."""

from collections.abc import Callable
from json.encoder import encode_basestring

from shared.expressions.exact import is_number, plain_text
from shared.expressions.limits import ExpressionError, Meter


def type_name(value: object) -> str:
    """JMESPath's name of the value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "unknown"


def is_false(value: object) -> bool:
    """JMESPath's falsehood: null, false, and the empty text, list and object. 0 is true."""
    return value is None or value is False or (isinstance(value, (str, list, dict)) and not value)


def equal(left: object, right: object, meter: Meter) -> bool:
    """Deep equality in which true is not 1, at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        meter.charge(len(left))
        return len(left) == len(right) and all(equal(one, other, meter) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        meter.charge(len(left))
        return left.keys() == right.keys() and all(equal(value, right[key], meter) for key, value in left.items())
    return left == right


def json_text(value: object, meter: Meter) -> str:
    """Compact JSON with exact numbers, in the source's order of keys.

    A lone surrogate is written as its escape, so the text can always be encoded.
    """
    parts: list[str] = []
    _write(value, parts.append, meter)
    return "".join(parts)


def _write(value: object, write: Callable[[str], None], meter: Meter) -> None:
    if isinstance(value, str):
        meter.charge(len(value) + 1)
        write(_quoted(value))
    elif value is None or isinstance(value, bool):
        meter.charge(1)
        write("null" if value is None else "true" if value else "false")
    elif is_number(value):
        text = plain_text(value)
        meter.charge(len(text))
        write(text)
    elif isinstance(value, list):
        meter.charge(1)
        for index, element in enumerate(value):
            write("," if index else "[")
            _write(element, write, meter)
        write("]" if value else "[]")
    elif isinstance(value, dict):
        meter.charge(1)
        for index, (key, element) in enumerate(value.items()):
            write("," if index else "{")
            meter.charge(len(key) + 1)
            write(_quoted(key))
            write(":")
            _write(element, write, meter)
        write("}" if value else "{}")
    else:
        raise ExpressionError("a value is no JSON")


def _quoted(text: str) -> str:
    quoted: str = encode_basestring(text)
    if quoted.isascii():
        return quoted
    return "".join(f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else char for char in quoted)
