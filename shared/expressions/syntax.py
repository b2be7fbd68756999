"""The text of an expression to a tree. The grammar is the `jmespath` package's; the literals are ours, exact.

That package reads the JSON in backticks into floats and keeps parsed expressions in a global cache. So its lexer and
parser are extended here: literals become Decimals, nothing is cached, and the nesting is bounded.
"""

import json
from dataclasses import dataclass
from typing import Any

from jmespath.exceptions import IncompleteExpressionError, JMESPathError, LexerError, ParseError
from jmespath.lexer import Lexer
from jmespath.parser import Parser

from shared.contracts.mapping import MAX_EXPRESSION_CHARS
from shared.contracts.messages import NumberRangeError, decode_json
from shared.errors import MappingError
from shared.expressions.limits import MAX_DEPTH, MAX_NODES


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the tree. `kind` is the package's name of it, `position` the column of a function's name."""

    kind: str
    value: Any
    """A field's or function's name, an index, a comparator, a literal."""
    children: tuple["Node", ...]
    slice: tuple[int | None, int | None, int | None] | None = None
    position: int = 0


def parse(text: str) -> Node:
    """The tree of the expression. MappingError names the expression and the position."""
    if len(text) > MAX_EXPRESSION_CHARS:
        raise MappingError(
            f"an expression may have at most {MAX_EXPRESSION_CHARS} characters, this one has {len(text)}"
        )
    try:
        tree = _BoundedParser().tree(text)
    except IncompleteExpressionError:
        raise mapping_error(text, len(text), "the expression is not complete") from None
    except LexerError as error:
        raise mapping_error(text, error.lexer_position, error.message) from None
    except ParseError as error:
        raise mapping_error(text, error.lex_position, error.msg) from None
    except JMESPathError as error:
        raise mapping_error(text, 0, str(error)) from None
    return _tree(tree, text)


def mapping_error(text: str, position: int, reason: str) -> MappingError:
    """The error of a bad expression; `position` counts characters from 0, people are told from 1."""
    shown = text if len(text) <= 200 else text[:200] + "…"
    return MappingError(
        f"expression {shown!r}, column {position + 1}: {reason}",
        hint="Correct the expression; the name of a raw field goes in double quotes if it has other characters than "
        "letters, digits and _.",
    )


def _tree(root: dict[str, Any], text: str) -> Node:
    nodes = 0

    def convert(raw: dict[str, Any], depth: int) -> Node:
        nonlocal nodes
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH * 4:
            raise mapping_error(text, 0, f"the expression has more than {MAX_NODES} parts or is nested too deeply")
        if raw["type"] == "slice":
            start, stop, step = raw["children"]
            if step == 0:
                raise mapping_error(text, 0, "the step of a slice cannot be 0")
            return Node("slice", None, (), slice=(start, stop, step))
        children = tuple(convert(child, depth + 1) for child in raw["children"])
        return Node(raw["type"], raw.get("value"), children, position=raw.get("start", 0))

    return convert(root, 1)


class _ExactLexer(Lexer):  # type: ignore[misc] # the package ships no types
    """Reads the JSON in backticks exactly."""

    def _consume_literal(self) -> dict[str, Any]:
        start = self._position
        lexeme: str = self._consume_until("`").replace("\\`", "`")
        return {"type": "literal", "value": self._literal(lexeme, start), "start": start, "end": self._position - start}

    def _literal(self, lexeme: str, start: int) -> object:
        try:
            return decode_json(lexeme)
        except (RecursionError, NumberRangeError):
            raise LexerError(start, lexeme, "the literal is nested too deeply or its number is too large") from None
        except ValueError:
            pass
        if lexeme.lstrip()[:1] in ("[", "{", '"'):
            raise LexerError(start, lexeme, "the literal is no JSON")
        try:  # `abc` without quotes is the text "abc" by the language's transition rule (JEP-12)
            return json.loads(f'"{lexeme.lstrip()}"')
        except ValueError:
            raise LexerError(start, lexeme, "the literal is no JSON") from None


class _BoundedParser(Parser):  # type: ignore[misc] # the package ships no types
    """One parse, without the package's global cache; every recursion of the grammar passes `_expression`."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def tree(self, text: str) -> dict[str, Any]:
        """The package's tree of dicts. Raises JMESPathError."""
        self._tokens = list(_ExactLexer().tokenize(text))
        self._index = 0
        tree: dict[str, Any] = self._expression()
        token = self._lookahead_token(0)
        if token["type"] != "eof":
            raise ParseError(token["start"], token["value"], token["type"], f"unexpected {token['value']!r}")
        return tree

    def _expression(self, binding_power: int = 0) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            token = self._lookahead_token(0)
            raise ParseError(token["start"], token["value"], token["type"], "nested too deeply")
        tree = super()._expression(binding_power)
        self._depth -= 1
        return tree

    def _token_led_lparen(self, left: dict[str, Any]) -> Any:
        name = self._lookahead_token(-2)
        call = super()._token_led_lparen(left)
        call["start"] = name["start"]
        return call
