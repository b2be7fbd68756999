"""Cookies that hold a document under a key of the gateway: a browser shows them, and neither reads nor makes one."""

from http.cookies import CookieError, SimpleCookie
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import SealError
from shared.sealing.symmetric import SymmetricBox

MAX_CHARS = 4_096
"""Of one cookie's value; a header of more than four of them is not looked at."""


class CookieDocument(BaseModel):
    """Base of what a cookie holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Document = TypeVar("Document", bound=CookieDocument)


class SealedCookie(Generic[Document]):
    """One kind of cookie: its name, what it holds, and the context that keeps it from being taken for another kind."""

    def __init__(self, name: str, holds: type[Document], context: str) -> None:
        self.name = name
        self._holds = holds
        self._context = (context,)

    def seal(self, box: SymmetricBox, document: Document) -> str:
        """The cookie's value."""
        return box.seal_text(document.model_dump_json().encode(), self._context)

    def open(self, box: SymmetricBox, header: str | None) -> Document | None:
        """What the header Cookie of a request carries; None when that is nothing of ours."""
        text = self._text(header)
        if text is None:
            return None
        try:
            return self._holds.model_validate_json(box.open_text(text, self._context))
        except (SealError, ValidationError):
            return None

    def _text(self, header: str | None) -> str | None:
        if header is None or len(header) > 4 * MAX_CHARS:
            return None
        try:
            found = SimpleCookie(header).get(self.name)
        except CookieError:
            return None
        return None if found is None or len(found.value) > MAX_CHARS else found.value
