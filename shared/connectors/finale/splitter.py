"""Cuts one JSON object of parallel lists, as it arrives, into the texts of its elements. Pure; validates no element."""

import re
from collections.abc import Iterator
from typing import Literal, assert_never

from shared.errors import DataError, UnusableBodyError

MAX_ELEMENT_BYTES = 2_000_000
MAX_COLUMNS = 1_000

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BARE = rb'[^\s,:\[\]{}"]++'
_SPACE = re.compile(rb"\s*+")
_NAME = re.compile(rb"\s*+(" + _STRING + rb")\s*+:", re.DOTALL)
_STRING_VALUE = re.compile(_STRING, re.DOTALL)
_BARE_VALUE = re.compile(_BARE + rb"(?=[\s,\]}])")
# Most elements are plain: one match takes the element and what follows it.
_PLAIN = re.compile(rb"\s*+(" + _STRING + rb"|" + _BARE + rb")\s*+([,\]])", re.DOTALL)
_TOKENS = re.compile(_STRING + rb'|[\[{]|[\]}]|"', re.DOTALL)
_BLANKS = bytes.maketrans(b"\r\n", b"  ")

_State = Literal[
    "start", "first name", "name", "value", "first element", "element", "after element", "after value", "end"
]

Piece = tuple[bytes, bytes | None]
"""(name in JSON, element) of a list; (name, None) where a list begins."""


class ColumnSplitter:
    """Feed it chunks. Values that are no lists are kept in `others`, by their names in JSON."""

    def __init__(self) -> None:
        self.others: dict[bytes, bytes] = {}
        self._rest = b""
        self._at = 0
        self._state: _State = "start"
        self._name = b""
        self._names = 0

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are complete by now. Raises UnusableBodyError for what is no such object."""
        self._rest = self._rest[self._at :] + chunk
        self._at = 0
        while True:
            before = self._at, self._state
            yield from self._step()
            if (self._at, self._state) == before:
                break
        if len(self._rest) - self._at > MAX_ELEMENT_BYTES + len(chunk):
            raise DataError(f"one value of the answer is larger than {MAX_ELEMENT_BYTES:,} bytes")

    def finish(self) -> None:
        """Raises UnusableBodyError when the object did not end, or something follows it."""
        if self._state != "end" or self._rest[self._at :].strip():
            raise UnusableBodyError("the answer's JSON is cut off or followed by something else")

    def _step(self) -> Iterator[Piece]:
        match self._state:
            case "start":
                self._open()
            case "name" | "first name":
                yield from self._next_name()
            case "value":
                yield from self._value()
            case "first element" | "element":
                yield from self._elements()
            case "after element" | "after value":
                self._separator()
            case "end":
                pass
            case never:
                assert_never(never)

    def _visible(self) -> bytes:
        """The next byte that is no blank; empty: not there yet."""
        found = _SPACE.match(self._rest, self._at)
        assert found is not None
        self._at = found.end()
        return self._rest[self._at : self._at + 1]

    def _open(self) -> None:
        if self._rest.startswith(b"\xef\xbb\xbf"):
            self._at = 3
        byte = self._visible()
        if byte and byte != b"{":
            raise UnusableBodyError("the answer is no JSON object of columns")
        if byte:
            self._at += 1
            self._state = "first name"

    def _next_name(self) -> Iterator[Piece]:
        byte = self._visible()
        if byte == b"}" and self._state == "first name":
            self._at += 1
            self._state = "end"
        elif byte and byte != b'"':
            raise _no_json()
        elif found := _NAME.match(self._rest, self._at):
            self._name, self._at, self._state = found[1], found.end(), "value"
            self._names += 1
            if self._names > MAX_COLUMNS:
                raise DataError(f"the answer has more than {MAX_COLUMNS} columns")
        yield from ()

    def _value(self) -> Iterator[Piece]:
        byte = self._visible()
        if byte == b"[":
            self._at += 1
            self._state = "first element"
            self.others.pop(self._name, None)
            yield self._name, None
        elif byte and (end := self._value_end()):
            self.others[self._name] = self._rest[self._at : end]
            self._at, self._state = end, "after value"

    def _elements(self) -> Iterator[Piece]:
        if self._state == "first element" and self._visible() == b"]":
            self._at += 1
            self._state = "after value"
            return
        rest, name, plain = self._rest, self._name, _PLAIN.match
        while found := plain(rest, self._at):
            self._at = found.end()
            yield name, found[1]
            if found[2] == b"]":
                self._state = "after value"
                return
            self._state = "element"
        if self._visible() and (end := self._value_end()):
            element = rest[self._at : end]
            self._at, self._state = end, "after element"
            yield name, element.translate(_BLANKS) if b"\n" in element or b"\r" in element else element

    def _separator(self) -> None:
        byte = self._visible()
        if not byte:
            return
        within = self._state == "after element"
        if byte == b",":
            self._state = "element" if within else "name"
        elif byte == (b"]" if within else b"}"):
            self._state = "after value" if within else "end"
        else:
            raise _no_json()
        self._at += 1

    def _value_end(self) -> int:
        """Where the value that begins here ends; 0: not all of it is there."""
        first = self._rest[self._at : self._at + 1]
        if first in b"]},:":
            raise _no_json()
        if first not in b"[{":
            found = (_STRING_VALUE if first == b'"' else _BARE_VALUE).match(self._rest, self._at)
            return found.end() if found else 0
        depth = 0
        for token in _TOKENS.finditer(self._rest, self._at):
            text = token[0]
            if text in (b"[", b"{"):
                depth += 1
            elif text in (b"]", b"}"):
                depth -= 1
                if depth == 0:
                    return token.end()
            elif text == b'"':  # a string whose end is not there yet
                return 0
        return 0


def _no_json() -> UnusableBodyError:
    return UnusableBodyError("the answer is not valid JSON")
