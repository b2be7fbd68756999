"""Looks for secrets in all that a connector shows, in every spelling they could have there."""

import io
import logging
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from shared.observability.secrets import spellings


class Watch:
    """`leaks` names the places where a secret was seen; never the secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._spellings = frozenset().union(*(spellings(secret) for secret in secrets))
        self.leaks: list[str] = []

    def see(self, place: str, *values: object) -> None:
        """Look at values as text, and as Python shows them."""
        for value in values:
            if self._shows(str(value)) or self._shows(repr(value)):
                self._leak(place)

    def see_error(self, place: str, error: BaseException) -> None:
        """An error with all that led to it, as a log would print it."""
        self.see(place, *traceback.format_exception(error), *vars(error).values())

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Look at what is printed or logged meanwhile, at any level."""
        out = io.StringIO()
        handler = logging.StreamHandler(out)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with redirect_stdout(out), redirect_stderr(out):
                yield
        finally:
            root.setLevel(level)
            root.removeHandler(handler)
            self.see("what is printed or logged", out.getvalue())

    def _shows(self, text: str) -> bool:
        return any(spelling in text for spelling in self._spellings)

    def _leak(self, place: str) -> None:
        if place not in self.leaks:
            self.leaks.append(place)
