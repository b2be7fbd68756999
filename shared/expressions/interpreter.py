"""A tree to a function. Compiled once per mapping, so a record pays for calls alone, not for walking the tree."""

import operator
from collections.abc import Callable
from typing import Any

from shared.expressions.exact import is_number
from shared.expressions.functions import FUNCTIONS, Evaluate, Function
from shared.expressions.limits import Meter
from shared.expressions.syntax import Node, mapping_error
from shared.expressions.values import equal, is_false

_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def build(node: Node, text: str) -> Evaluate:
    """The function that evaluates `node`; MappingError names an unknown function or a wrong number of arguments."""
    return _Builder(text).build(node)


class _Builder:
    """`text` is the whole expression, for the errors."""

    def __init__(self, text: str) -> None:
        self._text = text

    def build(self, node: Node) -> Evaluate:
        if node.kind == "expref":
            raise mapping_error(self._text, node.position, "&expression stands only where a function takes one")
        make: Callable[[Node], Evaluate] = getattr(self, f"_{node.kind}")
        return make(node)

    def _all(self, node: Node) -> tuple[Evaluate, ...]:
        return tuple(self.build(child) for child in node.children)

    def _identity(self, _: Node) -> Evaluate:
        return lambda value, _: value

    _current = _identity

    def _literal(self, node: Node) -> Evaluate:
        literal = node.value
        return lambda _, __: literal

    def _field(self, node: Node) -> Evaluate:
        name = node.value
        return lambda value, _: value.get(name) if isinstance(value, dict) else None

    def _subexpression(self, node: Node) -> Evaluate:
        steps = self._all(node)

        def chain(value: object, meter: Meter) -> object:
            for step in steps:
                value = step(value, meter)
            return value

        return chain

    _pipe = _subexpression
    _index_expression = _subexpression

    def _index(self, node: Node) -> Evaluate:
        index: int = node.value

        def element(value: object, _: Meter) -> object:
            if not isinstance(value, list) or not -len(value) <= index < len(value):
                return None
            return value[index]

        return element

    def _slice(self, node: Node) -> Evaluate:
        part = slice(*node.slice) if node.slice else slice(None)

        def cut(value: object, meter: Meter) -> object:
            if not isinstance(value, list):
                return None
            meter.charge(len(value))
            return value[part]

        return cut

    def _projection(self, node: Node) -> Evaluate:
        source, each = self._all(node)

        def project(value: object, meter: Meter) -> object:
            elements = source(value, meter)
            return _collect(elements, each, meter) if isinstance(elements, list) else None

        return project

    def _value_projection(self, node: Node) -> Evaluate:
        source, each = self._all(node)

        def project(value: object, meter: Meter) -> object:
            entries = source(value, meter)
            return _collect(list(entries.values()), each, meter) if isinstance(entries, dict) else None

        return project

    def _filter_projection(self, node: Node) -> Evaluate:
        source, each, condition = self._all(node)

        def project(value: object, meter: Meter) -> object:
            elements = source(value, meter)
            if not isinstance(elements, list):
                return None
            meter.charge(len(elements))
            return _collect([one for one in elements if not is_false(condition(one, meter))], each, meter)

        return project

    def _flatten(self, node: Node) -> Evaluate:
        (source,) = self._all(node)

        def flatten(value: object, meter: Meter) -> object:
            elements = source(value, meter)
            if not isinstance(elements, list):
                return None
            flat: list[object] = []
            for element in elements:
                meter.charge(len(element) if isinstance(element, list) else 1)
                if isinstance(element, list):
                    flat.extend(element)
                else:
                    flat.append(element)
            return flat

        return flatten

    def _multi_select_list(self, node: Node) -> Evaluate:
        parts = self._all(node)

        def select(value: object, meter: Meter) -> object:
            meter.charge(len(parts))
            return None if value is None else [part(value, meter) for part in parts]

        return select

    def _multi_select_dict(self, node: Node) -> Evaluate:
        parts = tuple((child.value, self.build(child.children[0])) for child in node.children)

        def select(value: object, meter: Meter) -> object:
            meter.charge(len(parts))
            return None if value is None else {name: part(value, meter) for name, part in parts}

        return select

    def _or_expression(self, node: Node) -> Evaluate:
        first, second = self._all(node)

        def either(value: object, meter: Meter) -> object:
            matched = first(value, meter)
            return second(value, meter) if is_false(matched) else matched

        return either

    def _and_expression(self, node: Node) -> Evaluate:
        first, second = self._all(node)

        def both(value: object, meter: Meter) -> object:
            matched = first(value, meter)
            return matched if is_false(matched) else second(value, meter)

        return both

    def _not_expression(self, node: Node) -> Evaluate:
        (inner,) = self._all(node)
        return lambda value, meter: is_false(inner(value, meter))

    def _comparator(self, node: Node) -> Evaluate:
        left, right = self._all(node)
        if node.value in ("eq", "ne"):
            wanted = node.value == "eq"
            return lambda value, meter: equal(left(value, meter), right(value, meter), meter) is wanted
        compare = _ORDERINGS[node.value]

        def ordered(value: object, meter: Meter) -> object:
            one, other = left(value, meter), right(value, meter)
            same = (is_number(one) and is_number(other)) or (isinstance(one, str) and isinstance(other, str))
            return compare(one, other) if same else None  # values without an order compare as null

        return ordered

    def _function_expression(self, node: Node) -> Evaluate:
        function = self._function(node)
        call = function.call
        if function.expref is None:
            arguments = self._all(node)
            if len(arguments) == 1:
                (only,) = arguments
                return lambda value, meter: call(meter, only(value, meter))
            return lambda value, meter: call(meter, *[argument(value, meter) for argument in arguments])
        reference = node.children[function.expref]
        if reference.kind != "expref":
            place = function.expref + 1
            raise mapping_error(self._text, node.position, f"argument {place} of {node.value}() is an &expression")
        each = self.build(reference.children[0])
        array = self.build(node.children[1 - function.expref])
        if function.expref == 0:
            return lambda value, meter: call(meter, each, array(value, meter))
        return lambda value, meter: call(meter, array(value, meter), each)

    def _function(self, node: Node) -> Function:
        function = FUNCTIONS.get(node.value)
        if function is None:
            raise mapping_error(self._text, node.position, f"unknown function {node.value}()")
        given = len(node.children)
        if given < function.least or (function.most is not None and given > function.most):
            wanted = f"{function.least}" if function.most else f"at least {function.least}"
            raise mapping_error(self._text, node.position, f"{node.value}() takes {wanted} argument(s), not {given}")
        return function


def _collect(elements: list[object], each: Evaluate, meter: Meter) -> list[object]:
    """What a projection yields: `each` of the elements, without nulls."""
    meter.charge(len(elements))
    return [result for element in elements if (result := each(element, meter)) is not None]
