"""JMESPath's functions over exact numbers.

Two things differ from the language on purpose: an aggregate of null is null (a record without lines has no total,
which is no error), and `to_string(null)` is null, never the text "null".
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.expressions import exact
from shared.expressions.exact import Number, is_number
from shared.expressions.limits import ExpressionError, Meter
from shared.expressions.values import equal, json_text, type_name

Evaluate = Callable[[object, Meter], object]
"""A compiled expression: (current value, meter) -> value."""


class Function(NamedTuple):
    """One function. `expref` is the position of its `&expression` argument, which arrives as an Evaluate."""

    call: Callable[..., object]
    least: int
    most: int | None
    expref: int | None = None


def _fail(name: str, expected: str, value: object) -> ExpressionError:
    return ExpressionError(f"{name}() expects {expected}, got {type_name(value)}")


def _array(name: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise _fail(name, "an array", value)
    return value


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _fail(name, "a string", value)
    return value


def _number(name: str, value: object) -> Number:
    if not is_number(value):
        raise _fail(name, "a number", value)
    return value


def _object(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _fail(name, "an object", value)
    return value


def _numbers(name: str, value: object, meter: Meter) -> list[Number]:
    elements = _array(name, value)
    meter.charge(len(elements))
    numbers: list[Number] = []
    for element in elements:
        if not is_number(element):
            raise _fail(name, "an array of numbers", element)
        numbers.append(element)
    return numbers


def _comparable(name: str, keys: Sequence[object], meter: Meter) -> list[Number] | list[str]:
    """The keys as numbers or as strings; a mixture has no order."""
    meter.charge(len(keys))
    numbers = [key for key in keys if is_number(key)]
    if len(numbers) == len(keys):
        return numbers
    strings = [key for key in keys if isinstance(key, str)]
    if len(strings) == len(keys):
        return strings
    odd = next(key for key in keys if not is_number(key) and (numbers or not isinstance(key, str)))
    raise _fail(name, "numbers only or strings only", odd)


def _order(keys: list[Number] | list[str]) -> list[int]:
    """Positions in ascending order of their key, equals in their old order."""
    return sorted(range(len(keys)), key=keys.__getitem__)


def _sum(meter: Meter, value: object) -> object:
    return None if value is None else exact.exact_sum(_numbers("sum", value, meter))


def _avg(meter: Meter, value: object) -> object:
    return None if value is None else exact.average(_numbers("avg", value, meter))


def _max(meter: Meter, value: object) -> object:
    keys = _comparable("max", [] if value is None else _array("max", value), meter)
    return max(keys) if keys else None


def _min(meter: Meter, value: object) -> object:
    keys = _comparable("min", [] if value is None else _array("min", value), meter)
    return min(keys) if keys else None


def _abs(_: Meter, value: object) -> object:
    return exact.magnitude(_number("abs", value))


def _ceil(_: Meter, value: object) -> object:
    return exact.ceiling(_number("ceil", value))


def _floor(_: Meter, value: object) -> object:
    return exact.floor(_number("floor", value))


def _to_number(meter: Meter, value: object) -> object:
    if is_number(value):
        return value
    return (meter.read_number or exact.parse_number)(value) if isinstance(value, str) else None


def _to_string(meter: Meter, value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    return json_text(value, meter)


def _to_array(_: Meter, value: object) -> object:
    return value if isinstance(value, list) else [value]


def _type(_: Meter, value: object) -> object:
    return type_name(value)


def _length(_: Meter, value: object) -> object:
    if isinstance(value, (str, list, dict)):
        return len(value)
    raise _fail("length", "a string, an array or an object", value)


def _reverse(meter: Meter, value: object) -> object:
    if isinstance(value, (str, list)):
        meter.charge(len(value))
        return value[::-1]
    raise _fail("reverse", "a string or an array", value)


def _contains(meter: Meter, subject: object, search: object) -> object:
    if isinstance(subject, str):
        meter.charge(len(subject))
        return isinstance(search, str) and search in subject
    if not isinstance(subject, list):
        raise _fail("contains", "a string or an array", subject)
    meter.charge(len(subject))
    return any(equal(element, search, meter) for element in subject)


def _starts_with(_: Meter, subject: object, prefix: object) -> object:
    return _string("starts_with", subject).startswith(_string("starts_with", prefix))


def _ends_with(_: Meter, subject: object, suffix: object) -> object:
    return _string("ends_with", subject).endswith(_string("ends_with", suffix))


def _join(meter: Meter, glue: object, value: object) -> object:
    strings = [_string("join", element) for element in _array("join", value)]
    separator = _string("join", glue)
    meter.charge(sum(len(text) + len(separator) for text in strings))
    return separator.join(strings)


def _keys(meter: Meter, value: object) -> object:
    keys = list(_object("keys", value))
    meter.charge(len(keys))
    return keys


def _values(meter: Meter, value: object) -> object:
    values = list(_object("values", value).values())
    meter.charge(len(values))
    return values


def _merge(meter: Meter, *values: object) -> object:
    merged: dict[str, object] = {}
    for value in values:
        part = _object("merge", value)
        meter.charge(len(part))
        merged.update(part)
    return merged


def _not_null(_: Meter, *values: object) -> object:
    return next((value for value in values if value is not None), None)


def _each(meter: Meter, each: Evaluate, elements: list[object]) -> list[object]:
    meter.charge(len(elements))
    return [each(element, meter) for element in elements]


def _map(meter: Meter, each: Evaluate, value: object) -> object:
    return _each(meter, each, _array("map", value))


def _sort(meter: Meter, value: object) -> object:
    keys = _comparable("sort", _array("sort", value), meter)
    return [keys[position] for position in _order(keys)]


def _sort_by(meter: Meter, value: object, each: Evaluate) -> object:
    elements = _array("sort_by", value)
    return [elements[position] for position in _order(_comparable("sort_by", _each(meter, each, elements), meter))]


def _max_by(meter: Meter, value: object, each: Evaluate) -> object:
    elements = [] if value is None else _array("max_by", value)
    keys = _comparable("max_by", _each(meter, each, elements), meter)
    return elements[max(range(len(keys)), key=keys.__getitem__)] if elements else None


def _min_by(meter: Meter, value: object, each: Evaluate) -> object:
    elements = [] if value is None else _array("min_by", value)
    keys = _comparable("min_by", _each(meter, each, elements), meter)
    return elements[min(range(len(keys)), key=keys.__getitem__)] if elements else None


FUNCTIONS: dict[str, Function] = {
    "abs": Function(_abs, 1, 1),
    "avg": Function(_avg, 1, 1),
    "ceil": Function(_ceil, 1, 1),
    "contains": Function(_contains, 2, 2),
    "ends_with": Function(_ends_with, 2, 2),
    "floor": Function(_floor, 1, 1),
    "join": Function(_join, 2, 2),
    "keys": Function(_keys, 1, 1),
    "length": Function(_length, 1, 1),
    "map": Function(_map, 2, 2, expref=0),
    "max": Function(_max, 1, 1),
    "max_by": Function(_max_by, 2, 2, expref=1),
    "merge": Function(_merge, 1, None),
    "min": Function(_min, 1, 1),
    "min_by": Function(_min_by, 2, 2, expref=1),
    "not_null": Function(_not_null, 1, None),
    "reverse": Function(_reverse, 1, 1),
    "sort": Function(_sort, 1, 1),
    "sort_by": Function(_sort_by, 2, 2, expref=1),
    "starts_with": Function(_starts_with, 2, 2),
    "sum": Function(_sum, 1, 1),
    "to_array": Function(_to_array, 1, 1),
    "to_number": Function(_to_number, 1, 1),
    "to_string": Function(_to_string, 1, 1),
    "type": Function(_type, 1, 1),
    "values": Function(_values, 1, 1),
}
