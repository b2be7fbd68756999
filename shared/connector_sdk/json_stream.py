"""A JSON body record by record, as it arrives: for collections too large to be taken apart at once. No I/O."""

import codecs
from collections.abc import Iterator
from typing import Any

import ijson
from ijson.common import JSONError, ObjectBuilder

from shared.connector_sdk.json_body import MAX_DEPTH, charset_of, nested_too_deeply
from shared.errors import DataError, UnusableBodyError
from shared.expressions.values import type_name

MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Of the body between two records: nothing larger is ever held, and no larger record could be sent on."""

_PIECE_BYTES = 64 * 1024
_STARTS = {"start_map": "object", "start_array": "array"}
_ENDS = frozenset({"end_map", "end_array"})


class JsonRecords:
    """Feed it the body's pieces, however they are cut; it yields the elements of the list that `path` leads to.

    `path` is a chain of keys from the top; empty: the body itself is the list. Values are those of `parse_json`. An
    element that is no object is yielded as it is. The parser is driven by events, not by its own `items`: that one
    takes memory with the square of the nesting, and cannot tell a missing list from an empty one.
    """

    def __init__(self, path: tuple[str, ...], content_type: str = "") -> None:
        self._path = path
        self._content_type = content_type
        self._start: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._events: Any = ijson.sendable_list()
        self._parser: Any = ijson.basic_parse_coro(self._events)
        self._depth = 0
        """Lists and objects that are open."""
        self._followed = 0
        """How many of them, from the outermost on, lie on the path to the list."""
        self._key: str | None = None
        """The last key of the innermost object that is followed."""
        self._builder: ObjectBuilder | None = None
        self._in_list = False
        self._gap = 0
        self.found: str | None = None
        """The JSON type of what the path leads to; None as long as nothing was there."""
        self.first: str | None = None
        """The JSON type of the list's first element, None for an empty list or as soon as any element is an object."""
        self._objects = False

    def feed(self, data: bytes) -> Iterator[Any]:
        """Raises UnusableBodyError for what is no JSON, DataError for what is nested too deeply or has no records."""
        if self._start is not None:
            self._start += data
            if len(self._start) < 4:  # the longest byte order mark
                return
            data = self._begin()
        yield from self._parse(data)

    def finish(self) -> Iterator[Any]:
        """The rest. Raises UnusableBodyError when the body stopped before its end."""
        if self._start is not None:
            yield from self._parse(self._begin())
        yield from self._parse(b"", final=True)

    def _begin(self) -> bytes:
        assert self._start is not None
        charset, start = charset_of(self._start, self._content_type)
        if charset is not None:
            self._decoder = codecs.getincrementaldecoder(charset)("strict")
        self._start = None
        return start

    def _parse(self, data: bytes, *, final: bool = False) -> Iterator[Any]:
        for at in range(0, len(data), _PIECE_BYTES):  # the parser makes all events of a piece at once
            yield from self._parse_piece(data[at : at + _PIECE_BYTES])
        if final:
            yield from self._parse_piece(b"", final=True)

    def _parse_piece(self, data: bytes, *, final: bool = False) -> Iterator[Any]:
        self._gap += len(data)
        try:
            if self._decoder is not None:
                data = self._decoder.decode(data, final).encode()
            if data:
                self._parser.send(data)
            if final:
                self._parser.close()
        except (JSONError, UnicodeError):  # the parser's own text quotes the body
            raise UnusableBodyError("the answer is not whole, valid JSON") from None
        except SystemError:  # what the C parser makes of Python's refusal to read such a number
            raise DataError("the answer's JSON holds a number of more than 4,300 digits") from None
        for event, value in self._events:
            if self._take(event, value):
                yield self._element()
        del self._events[:]
        if self._gap > MAX_RECORD_BYTES:
            raise DataError(
                f"the answer holds {MAX_RECORD_BYTES // 1024**2} MB without a whole record",
                hint="Check records_path, or ask the source for fewer fields.",
            )

    def _element(self) -> Any:
        assert self._builder is not None
        element = self._builder.value
        self._builder = None
        self._gap = 0
        if isinstance(element, dict):
            self._objects, self.first = True, None
        elif not self._objects and self.first is None:
            self.first = type_name(element)
        return element

    def _take(self, event: str, value: Any) -> bool:
        """True when an element of the list is whole."""
        if event == "map_key":
            if self._builder is not None:
                self._builder.event(event, value)
            elif self._depth == self._followed:
                self._key = value
            return False
        if event in _ENDS:
            return self._close(event)
        if self._builder is None:
            if self._in_list:
                self._builder = ObjectBuilder()
            elif self._is_on_path():
                self._follow(event, value)
        if self._builder is not None:
            self._builder.event(event, value)
        if event in _STARTS:
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise nested_too_deeply()
            return False
        return self._is_element_whole()

    def _close(self, event: str) -> bool:
        self._depth -= 1
        if self._builder is not None:
            self._builder.event(event, None)
            return self._is_element_whole()
        if self._in_list:
            self._in_list = False
        self._followed = min(self._followed, self._depth)
        return False

    def _is_element_whole(self) -> bool:
        return self._builder is not None and self._depth == len(self._path) + 1

    def _is_on_path(self) -> bool:
        return self._depth == self._followed and (self._depth == 0 or self._key == self._path[self._depth - 1])

    def _follow(self, event: str, value: Any) -> None:
        """A value begins that lies on the path."""
        if self._depth < len(self._path):
            self._followed += event == "start_map"
            return
        if self.found is not None:
            raise DataError("the answer names the list of its records twice", hint="The vendor must name it once.")
        self.found = _STARTS.get(event) or type_name(value)
        self._in_list = event == "start_array"
