"""What an expression may cost, and the one error it may end a record with."""

from collections.abc import Callable
from decimal import Decimal

MAX_NODES = 1_000
"""Nodes of one parsed expression."""
MAX_DEPTH = 60
"""Nesting of one expression."""
MAX_STEPS = 500_000
"""List elements, object entries and text characters that one evaluation may produce or compare.

`[@,@][] | [@,@][] | …` doubles with every step, so the length of the text bounds nothing.
"""
MAX_NUMBER_CHARS = 400
"""Characters of a text that `to_number` reads."""


ReadNumber = Callable[[str], int | Decimal | None]
"""A text to the number that it writes, None when it writes none: what `to_number` does."""


class ExpressionError(ValueError):
    """The expression does not fit this one record. The message names types, never the record's data."""


class Meter:
    """Counts what one evaluation produces, and knows how the source writes numbers, where not as JSON does."""

    __slots__ = ("_left", "read_number")

    def __init__(self, steps: int = MAX_STEPS, read_number: ReadNumber | None = None) -> None:
        self._left = steps
        self.read_number = read_number

    def charge(self, steps: int) -> None:
        """Spend `steps`; ExpressionError when the evaluation has used up its share."""
        self._left -= steps
        if self._left < 0:
            raise ExpressionError("the expression produces too much")
