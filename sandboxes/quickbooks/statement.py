"""The query language: the words of a statement, and what they ask for (Intuit documentation, data queries)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sandboxes.quickbooks.entities import SPECS, Spec
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.wire import QuickBooksError

OPERATORS = ("=", "<", ">", "<=", ">=", "IN", "LIKE")
_WORD = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*') | (?P<sign><=|>=|=|<|>|\(|\)|,|\*) | (?P<word>[A-Za-z_][A-Za-z0-9_.]*) |
    (?P<number>-?\d+(?:\.\d+)?)
    )""",
    re.VERBOSE | re.DOTALL,
)
_CLAUSES = ("WHERE", "ORDERBY", "ORDER", "STARTPOSITION", "MAXRESULTS")
_SAME: Mapping[str, str] = {
    "Metadata.LastUpdatedTime": "MetaData.LastUpdatedTime",
    "Metadata.CreateTime": "MetaData.CreateTime",
}


class Word(NamedTuple):
    """One word of a statement: `kind` is text (without its quotes), sign, word or number."""

    kind: str
    value: str


class Condition(NamedTuple):
    """One comparison; IN alone has several values."""

    field: str
    operator: str
    values: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a query asks for."""

    spec: Spec
    count: bool
    columns: tuple[str, ...]
    """Empty: whole records."""
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    """Fields with whether each goes down."""
    start: int
    size: int


def words_of(statement: str) -> list[Word]:
    """The words. QuickBooksError 4000 when there is something that is none."""
    found: list[Word] = []
    position, text = 0, statement.rstrip()
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None or match.lastgroup is None:
            raise _unparsable(text[position : position + 20])
        value = match.group(match.lastgroup)
        if match.lastgroup == "text":
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        found.append(Word(match.lastgroup, value))
        position = match.end()
    return found


def parse(statement: str, switches: Switches) -> Statement:
    """The statement. QuickBooksError 4000 when it is none, 4001 when it names what cannot be asked for."""
    return _Parser(words_of(statement), switches).statement()


class _Parser:
    def __init__(self, words: list[Word], switches: Switches) -> None:
        self._words = words
        self._at = 0
        self._switches = switches

    def statement(self) -> Statement:
        self._expect("SELECT")
        count, columns = self._columns()
        self._expect("FROM")
        name = self._take("word").value
        spec = next((spec for known, spec in SPECS.items() if known == name), None)
        if spec is None:
            raise QuickBooksError("4001", f"QueryValidationError: Entity {name} is not known.")
        conditions = self._conditions(spec) if self._skip("WHERE") else ()
        order = self._order(spec)
        start = self._number("STARTPOSITION", 1)
        size = self._number("MAXRESULTS", self._switches.query_default)
        if self._at < len(self._words):
            raise _unparsable(self._words[self._at].value)
        return Statement(spec, count, columns, conditions, order, start, min(size, self._switches.query_max))

    def _columns(self) -> tuple[bool, tuple[str, ...]]:
        if self._skip("COUNT"):
            for sign in ("(", "*", ")"):
                self._sign(sign)
            return True, ()
        everything, columns = False, []
        while True:
            if self._peek() == Word("sign", "*"):
                self._at += 1
                everything = True
            else:
                columns.append(self._take("word").value)
            if self._peek() != Word("sign", ","):
                break
            self._at += 1
        if columns and self._switches.column_lists == "refuse":
            raise _unparsable(columns[0])
        return False, () if everything else tuple(columns)

    def _conditions(self, spec: Spec) -> tuple[Condition, ...]:
        found = [self._condition(spec)]
        while self._skip("AND"):
            found.append(self._condition(spec))
        return tuple(found)

    def _condition(self, spec: Spec) -> Condition:
        field = self._field(spec)
        word = self._take("sign", "word")
        operator = word.value.upper()
        if operator not in OPERATORS:
            raise _unparsable(word.value)
        if operator != "IN":
            return Condition(field, operator, (self._value(),))
        self._sign("(")
        values = [self._value()]
        while self._peek() == Word("sign", ","):
            self._at += 1
            values.append(self._value())
        self._sign(")")
        return Condition(field, operator, tuple(values))

    def _order(self, spec: Spec) -> tuple[tuple[str, bool], ...]:
        if not self._skip("ORDERBY"):
            if not self._skip("ORDER"):
                return ()
            self._expect("BY")
        found: list[tuple[str, bool]] = []
        while True:
            field = self._field(spec)
            found.append((field, self._skip("DESC") or (self._skip("ASC") and False)))
            if self._peek() != Word("sign", ","):
                return tuple(found)
            self._at += 1

    def _field(self, spec: Spec) -> str:
        name = self._take("word").value
        field = _SAME.get(name, name)
        if field in ("Id", "MetaData.LastUpdatedTime", "MetaData.CreateTime") or field in spec.filters:
            return field
        raise QuickBooksError("4001", f"QueryValidationError: Property {name} not found for Entity {spec.name}", name)

    def _value(self) -> Word:
        word = self._take("text", "number", "word")
        if word.kind == "word" and word.value.lower() not in ("true", "false"):
            raise _unparsable(word.value)
        return word

    def _number(self, clause: str, default: int) -> int:
        if not self._skip(clause):
            return default
        text = self._take("number").value
        if not text.isdigit() or len(text) > 9 or int(text) < 1:
            raise QuickBooksError("4001", f"QueryValidationError: {clause} is a number from 1")
        return int(text)

    def _peek(self) -> Word | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def _take(self, *kinds: str) -> Word:
        word = self._peek()
        if word is None or word.kind not in kinds or (word.kind == "word" and word.value.upper() in _CLAUSES):
            raise _unparsable("the end" if word is None else word.value)
        self._at += 1
        return word

    def _skip(self, keyword: str) -> bool:
        word = self._peek()
        if word is None or word.kind != "word" or word.value.upper() != keyword:
            return False
        self._at += 1
        return True

    def _expect(self, keyword: str) -> None:
        if not self._skip(keyword):
            word = self._peek()
            raise _unparsable("the end" if word is None else word.value)

    def _sign(self, sign: str) -> None:
        if self._take("sign").value != sign:
            raise _unparsable(sign)


def _unparsable(near: str) -> QuickBooksError:
    return QuickBooksError("4000", f"QueryParserError: Encountered an error near: {near}")
