"""The right side of a mapping: the exact name of a top-level raw field, else a JMESPath expression."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from shared.contracts.messages import RawRecord
from shared.errors import MappingError
from shared.expressions.functions import Evaluate
from shared.expressions.interpreter import build
from shared.expressions.limits import ExpressionError, Meter, ReadNumber
from shared.expressions.roots import root_fields
from shared.expressions.syntax import Node, mapping_error, parse

Getter = Callable[[RawRecord], object]
"""Raises ExpressionError when the expression does not fit the record."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_MEANT_AS_EXPRESSION = re.compile(r'[()\[\]{}|&@`?*:"<>=!]')


@dataclass(frozen=True, slots=True)
class CompiledPath:
    """`get` yields a record's value: null where it has none, numbers as int or Decimal."""

    text: str
    get: Getter
    fields: frozenset[str]
    """Top-level raw fields that it reads in a record that has no field named exactly `text`."""
    is_name: bool = False
    """Whether `get` is `record.get(text)`, so that whoever reads many records may do without it."""


def compile_path(text: str, read_number: ReadNumber | None = None) -> CompiledPath:
    """Compile the right side of a mapping. Which of the two it is, is decided per record.

    A text that is no JMESPath is a plain name (`Qty On Hand`), unless it has characters that only an expression would
    have: then MappingError says where it is wrong. `name_path` takes such a name without asking.
    `read_number` is `to_number` of texts, where the source does not write numbers as JSON does.
    """
    if not text.strip():
        raise MappingError("a path is empty", hint="Name a raw field or write a JMESPath expression.")
    if _NAME.fullmatch(text):
        return name_path(text)
    if _DOTTED.fullmatch(text):
        parts = tuple(text.split("."))
        return CompiledPath(text, _dotted_getter(text, parts), frozenset(parts[:1]))
    try:
        tree = parse(text)
    except MappingError:
        if _MEANT_AS_EXPRESSION.search(text):
            raise
        return name_path(text)
    return _path(text, tree, text, read_number)


def compile_expression(text: str, read_number: ReadNumber | None = None) -> CompiledPath:
    """Compile a JMESPath expression that cannot be a mere name (a filter); `read_number` as for `compile_path`.

    MappingError says where it is wrong.
    """
    if not text.strip():
        raise mapping_error(text, 0, "the expression is empty")
    return _path(text, parse(text), None, read_number)


def name_path(text: str) -> CompiledPath:
    """The top-level field of exactly this name."""
    return CompiledPath(text, lambda record: record.get(text), frozenset((text,)), is_name=True)


def _path(text: str, tree: Node, name: str | None, read_number: ReadNumber | None) -> CompiledPath:
    compute = _expression_getter(build(tree, text), read_number)
    getter = compute if name is None else _either_getter(name, compute)
    return CompiledPath(text, getter, root_fields(tree))


def _dotted_getter(text: str, parts: tuple[str, ...]) -> Getter:
    def get(record: RawRecord) -> object:
        if text in record:
            return record[text]
        value: object = record
        for part in parts:
            if not isinstance(value, dict):
                return None
            value = value.get(part)
        return value

    return get


def _either_getter(name: str, compute: Getter) -> Getter:
    return lambda record: record[name] if name in record else compute(record)


def _expression_getter(evaluate: Evaluate, read_number: ReadNumber | None) -> Getter:
    def get(record: RawRecord) -> object:
        try:
            return evaluate(record, Meter(read_number=read_number))
        except RecursionError:
            raise ExpressionError("the record is nested too deeply for the expression") from None

    return get
