"""What an expression may cost, and the one error it may end a record with."""

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


class ExpressionError(ValueError):
    """The expression does not fit this one record. The message names types, never the record's data."""


class Meter:
    """Counts what one evaluation produces."""

    __slots__ = ("_left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps

    def charge(self, steps: int) -> None:
        """Spend `steps`; ExpressionError when the evaluation has used up its share."""
        self._left -= steps
        if self._left < 0:
            raise ExpressionError("the expression produces too much")
