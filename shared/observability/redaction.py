"""Masks secrets in whatever is about to be logged: by the name they are under, by their form, by their exact value."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from uuid import UUID

from shared.observability.secrets import MASK, SecretRegistry

_MAX_DEPTH = 8
_MAX_ITEMS = 200
_MAX_TEXT = 32_768

_NAMING = (
    r"(?:authorization|cookie|passw(?:or)?d|passphrase|pwd|secret|token|credential|jwt|"
    r"(?:api|access|private|master|webhook|signing|encryption)[-_. ]?key)"
)
_NAME = re.compile(_NAMING, re.IGNORECASE)

# All quantifiers are bounded or anchored on a literal: a long hostile line costs linear time.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host, up to the last @ before the path
    (re.compile(r"(://)[^\s/?#\"'<>]{1,1024}@"), rf"\1{MASK}@"),
    # a header as text: Authorization: anything up to the end of the line or of the quoted text
    (re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,4}:\s{0,4})[^\r\n\"']+"), rf"\1\2{MASK}"),
    # Bearer abc, Basic abc
    (re.compile(r"(?i)\b(bearer|basic)(\s{1,4})[A-Za-z0-9._~+/=-]{6,}"), rf"\1\2{MASK}"),
    # a JSON Web Token, whole or with its signature cut
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), MASK),
    # "password": "abc" and 'password': 'abc', as JSON and Python print it; escaped quotes when JSON holds JSON
    (
        re.compile(
            rf"(?i)({_NAMING}[\w.-]{{0,40}}\\?[\"']\s{{0,4}}[:=,]\s{{0,4}}b?)"
            r"(?:\\\"[^\"]*\\\"|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|-?\d+)"
        ),
        rf"\1{MASK}",
    ),
    # password=abc, in text, key-value DSNs and forms; password='abc' in a repr
    (
        re.compile(rf"(?i)({_NAMING}[\w.\]-]{{0,40}}\s?=\s?)(?:'[^']*'|\"[^\"]*\"|[^\s&;,\"'<>)}}\]]+)"),
        rf"\1{MASK}",
    ),
    # ?key=abc: names that mean a secret only inside a URL
    (re.compile(r"(?i)([?&](?:key|auth|pass|code|state|sig|signature|session|sid)=)[^\s&#\"'<>]+"), rf"\1{MASK}"),
)


class Redactor:
    """Masks what it is given, at any depth, and returns plain JSON-able data.

    Objects that are no plain data become their text first: a renderer that asked them for their `repr` afterwards
    would bring the secret back.
    """

    def __init__(self, registry: SecretRegistry) -> None:
        self._registry = registry

    def text(self, text: str) -> str:
        """`text` with exact secrets and secret-looking parts masked, cut at 32,768 characters."""
        text = self._registry.redact(text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        if len(text) > _MAX_TEXT:  # after masking: a cut through a secret would leave a half that nothing matches
            return f"{text[:_MAX_TEXT]}… [{len(text) - _MAX_TEXT} more characters]"
        return text

    def mapping(self, values: Mapping[str, object]) -> dict[str, object]:
        """A masked copy of an event's fields."""
        return self._pairs(values.items(), 0)

    def _pairs(self, values: Iterable[tuple[object, object]], depth: int) -> dict[str, object]:
        masked: dict[str, object] = {}
        for name, value in islice(values, _MAX_ITEMS):
            key = name if isinstance(name, str) else _plain_text(name)
            masked[self.text(key)] = self._named(key, value, depth)
        return masked

    def _named(self, name: str, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool) or not _NAME.search(name):
            return self._any(value, depth)
        return MASK

    def _any(self, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if self._registry.redact(str(value)) == str(value) else MASK
        if isinstance(value, str):
            return self.text(str(value))
        if isinstance(value, Mapping | Sequence | set | frozenset) and not isinstance(
            value, bytes | bytearray | memoryview
        ):
            return self._collection(value, depth + 1)
        return self.text(_plain_text(value))

    def _collection(
        self, value: Mapping[object, object] | Sequence[object] | set[object] | frozenset[object], depth: int
    ) -> object:
        if depth > _MAX_DEPTH:
            return "[nested too deeply]"
        if isinstance(value, Mapping):
            return self._pairs(list(value.items()), depth)
        items = list(value)[:_MAX_ITEMS]
        if isinstance(value, list | tuple) and len(items) == 2 and isinstance(items[0], str | bytes):
            # a (name, value) pair, as header lists hold them
            return [self._any(items[0], depth), self._named(_plain_text(items[0]), items[1], depth)]
        return [self._any(item, depth) for item in items]


def _plain_text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, str | UUID | date | datetime | Decimal | PurePath | Enum):
        return str(value)
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a broken repr must not lose the log line
        return f"<{type(value).__name__}>"
