"""The secrets that this process holds right now, in every spelling in which they could reach a log line."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
MIN_LENGTH = 4
"""Shorter values are not looked for: masking every "abc" would make logs unreadable and hide nothing."""
_MIN_FRAGMENT = 8
"""Characters of a base64 fragment; shorter ones occur in innocent text."""


class SecretRegistry:
    """Exact values to mask. One per process, handed to the log configuration and to whoever opens credentials.

    Beside the permanent ones, at most `limit` values are held; beyond it the oldest is forgotten (the patterns of
    `redaction` still guard it).
    Safe to read from other threads; changed from the event loop's thread only.
    """

    def __init__(self, *, limit: int = 4096) -> None:
        self._limit = limit
        self._holders: Counter[str] = Counter()
        self._spellings: dict[str, frozenset[str]] = {}
        self._permanent: set[str] = set()
        self._longest_first: tuple[str, ...] = ()

    def add(self, *values: str | bytes) -> None:
        """Mask these for the life of the process: its own passwords and keys."""
        texts = _texts(values)
        self._permanent.update(texts)
        self._hold(texts)

    @contextmanager
    def guarding(self, values: Iterable[str | bytes]) -> Iterator[None]:
        """Mask these while the context lasts. The same value may be guarded many times at once."""
        texts = _texts(values)
        self._hold(texts)
        try:
            yield
        finally:
            self._release(texts)

    def redact(self, text: str) -> str:
        """`text` with every held value masked, in each of its spellings."""
        for spelling in self._longest_first:
            if spelling in text:
                text = text.replace(spelling, MASK)
        return text

    def __len__(self) -> int:
        return len(self._spellings)

    def __repr__(self) -> str:
        return f"SecretRegistry({len(self)} values)"

    def _hold(self, texts: tuple[str, ...]) -> None:
        self._holders.update(texts)
        for text in texts:
            if text not in self._spellings:
                self._spellings[text] = spellings(text)
        passing = [text for text in self._spellings if text not in self._permanent]
        for oldest in passing[: max(0, len(passing) - self._limit)]:
            del self._spellings[oldest], self._holders[oldest]
        self._publish()

    def _release(self, texts: tuple[str, ...]) -> None:
        for text in texts:
            self._holders[text] -= 1
            if self._holders[text] <= 0:  # below zero: it was forgotten meanwhile
                del self._holders[text]
                self._spellings.pop(text, None)
        self._publish()

    def _publish(self) -> None:
        # Longest first: a short secret inside a long one must not leave the long one's ends readable.
        self._longest_first = tuple(sorted(set(chain(*self._spellings.values())), key=len, reverse=True))


def spellings(secret: str) -> frozenset[str]:
    """As it is, in URLs, in JSON, as Python shows it, and in base64, also in the midst of `Basic user:secret`."""
    raw = secret.encode("utf-8", "surrogateescape")
    plain = {
        secret,
        quote(raw, safe=""),
        quote(raw, safe="").replace("~", "%7E"),
        quote(raw),
        quote_plus(raw),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr(raw)[2:-1],
        raw.hex(),
    }
    encoded = set(chain.from_iterable(_base64_fragments(raw, before) for before in range(3)))
    return frozenset(plain | {text for text in encoded if len(text) >= _MIN_FRAGMENT})


def _base64_fragments(raw: bytes, before: int) -> Iterator[str]:
    """The characters that `raw` alone decides when `before` (0, 1 or 2) other bytes stand in front of its group."""
    whole = (before + len(raw)) // 3 * 4  # characters of the complete groups; what follows depends on what follows
    first = (0, 2, 3)[before]
    padded = b"\0" * before + raw
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(padded).decode()[first:whole]
        if before == 0:
            yield encode(raw).decode().rstrip("=")


def _texts(values: Iterable[str | bytes]) -> tuple[str, ...]:
    texts = (
        value.decode("utf-8", "surrogateescape") if isinstance(value, bytes | bytearray) else value for value in values
    )
    return tuple(dict.fromkeys(text for text in texts if len(text) >= MIN_LENGTH))
