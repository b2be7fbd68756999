"""How a paged answer goes on: tiny pure pagers. A step knows one cursor of ours and makes the next from one answer.

Steps keep no state, so what a pager must remember to notice that it goes in circles travels in its cursor.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.messages import Cursor, RawRecord, encode_json
from shared.errors import ConfigurationError, DataError, HeadraceError
from shared.expressions.values import type_name
from shared.http.urls import join_url, origin, parse_url

MAX_PAGES = 100_000
"""Pages of one read. Above it a source is broken, or wants larger pages."""
MAX_CURSOR_CHARS = 6_000

Params = tuple[tuple[str, str], ...]
Path = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a page is: `url` replaces the configured URL and its parameters; else `params` are added to them."""

    url: str | None = None
    params: Params = ()


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a pager looks at. Header names in lower case."""

    body: Any
    records: list[RawRecord]
    headers: Mapping[str, str]
    url: str
    secret_params: frozenset[str] = frozenset()
    keys: list[Any] | None = None
    """What tells the records apart, where the connector knows: a page that comes again may come with other values."""


class Pager(Protocol):
    """One style of paging, configured."""

    def target(self, cursor: Cursor) -> Target:
        """Where the page of this cursor is. None is the first page. Raises DataError for a cursor that is not ours."""
        ...

    def following(self, cursor: Cursor, answer: PageAnswer) -> Cursor:
        """The next page's cursor, None after the last. Raises DataError when the source goes in circles."""
        ...


class _State(BaseModel):
    """Our cursor, as JSON text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    at: str | int
    """The vendor's position: page, offset, cursor or URL."""
    page: int = Field(ge=1)
    """Which page of the read this cursor fetches, from 1."""
    mark: str = ""
    """Fingerprint of something seen earlier that must not come again."""
    read: int = 0
    """Records of the pages before, where the pager counts them."""
    first: str = ""
    """Fingerprint of the first page, where the pager keeps it: some servers begin anew behind the end."""
    counts: tuple[int, int] = (0, 0)
    """Records of the first page and of the one before this."""
    doubted: bool = False
    """The page before was short: this one is asked for to see whether that was the end."""
    short: bool = False
    """So was that one, or one before it."""


def _read(cursor: Cursor) -> _State | None:
    if cursor is None:
        return None
    try:
        return _State.model_validate_json(str(cursor))
    except ValidationError:
        raise DataError("the stored cursor does not fit the paging that is configured now", hint=_RESET_HINT) from None


_RESET_HINT = "Reset the source's cursors, then run it again."


def _write(state: _State) -> str:
    if state.page > MAX_PAGES:
        raise DataError(f"the source has more than {MAX_PAGES:,} pages", hint="Configure larger pages.")
    if isinstance(state.at, str) and len(state.at) > MAX_CURSOR_CHARS:
        raise DataError(f"the source's next position is longer than {MAX_CURSOR_CHARS:,} characters")
    return state.model_dump_json(exclude_defaults=True)


def _fingerprint(value: str | bytes) -> str:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return hashlib.blake2b(data, digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class NoPaging:
    """All in one answer."""

    def target(self, cursor: Cursor) -> Target:
        if cursor is not None:
            raise DataError("the stored cursor does not fit the paging that is configured now", hint=_RESET_HINT)
        return Target()

    def following(self, cursor: Cursor, answer: PageAnswer) -> Cursor:  # noqa: ARG002 - the port's signature
        return None


class NoListError(DataError):
    """The answer says null where the list of records was due."""


class RepeatedPageError(DataError):
    """A numbered page holds the records of one before it."""


_END_STATUSES = frozenset({204, 400, 404, 410, 416, 422})


def is_past_the_end(cursor: Cursor, error: HeadraceError) -> bool:
    """Whether `error`, met on the page of `cursor`, only says that the short page before it was the last one.

    Servers answer a page that does not exist in many ways: an empty list or null, a refusal, their last or first page.
    A refusal may also be a passing fault of a server that caps its pages, all of which are short then: it ends the read
    only behind the first page, or behind one that was shorter than the first.
    """
    state = _read(cursor)
    if state is None:
        return False
    if isinstance(error, RepeatedPageError):
        return state.short
    first, last = state.counts
    is_refusal = error.status in _END_STATUSES or isinstance(error, NoListError)
    return is_refusal and state.doubted and (state.page == 2 or last < first)


@dataclass(frozen=True, slots=True)
class NumberedPaging:
    """By page number or by offset: until an empty page, or a short one of which the server says that it is the last.

    A short page alone proves nothing: servers cap the page size below what we ask, and some take records that we may
    not see out of a full page. Where a server says nothing, the next page tells; `is_past_the_end` reads its refusals.
    """

    param: str
    size_param: str | None
    size: int | None
    start: int
    by_offset: bool

    def target(self, cursor: Cursor) -> Target:
        state = _read(cursor)
        position = self.start if state is None else state.at
        params: Params = ((self.param, str(position)),)
        if self.size_param is not None and self.size is not None:
            params = (*params, (self.size_param, str(self.size)))
        return Target(params=params)

    def following(self, cursor: Cursor, answer: PageAnswer) -> Cursor:
        """Raises RepeatedPageError too."""
        state = _read(cursor) or _State(at=self.start, page=1)
        count = len(answer.records)
        if count == 0:
            return None
        seen = _fingerprint(encode_json(answer.records if answer.keys is None else answer.keys))
        if seen in {state.mark, state.first}:
            raise RepeatedPageError(
                f"page {state.page} holds the records of the page before or of the first one: "
                f"is {self.param!r} the right parameter?",
                hint="Check the paging parameters.",
            )
        read = state.read + count
        is_short = self.size is not None and count < self.size
        goes_on = _says_more(answer, read)
        if is_short and goes_on is False:
            return None
        doubted = is_short and goes_on is None
        return _write(
            _State(
                at=int(state.at) + (count if self.by_offset else 1),
                page=state.page + 1,
                mark=seen,
                read=read,
                first=state.first or seen,
                counts=(state.counts[0] or count, count),
                doubted=doubted,
                short=state.short or doubted,
            )
        )


@dataclass(frozen=True, slots=True)
class CursorPaging:
    """By a cursor out of the body: null, missing, empty or false is the end."""

    param: str
    path: Path

    def target(self, cursor: Cursor) -> Target:
        state = _read(cursor)
        return Target() if state is None else Target(params=((self.param, str(state.at)),))

    def following(self, cursor: Cursor, answer: PageAnswer) -> Cursor:
        found = self.path(answer.body)
        if found is None or found is False or found == "":
            return None
        if isinstance(found, bool) or not isinstance(found, str | int | Decimal):
            raise DataError(f"cursor_path finds {type_name(found)} where a text or number was due")
        return _chained(_read(cursor), str(found))


@dataclass(frozen=True, slots=True)
class LinkPaging:
    """By the next page's URL, out of the body or of the Link header; only on the origin that was configured."""

    first_url: str
    next_path: Path | None = None

    def target(self, cursor: Cursor) -> Target:
        state = _read(cursor)
        return Target() if state is None else Target(url=self._same_origin(str(state.at)))

    def following(self, cursor: Cursor, answer: PageAnswer) -> Cursor:
        found = next_link(answer.headers.get("link", "")) if self.next_path is None else self.next_path(answer.body)
        if found is None or found is False or found == "":
            return None
        if not isinstance(found, str):
            raise DataError(f"next_path finds {type_name(found)} where a URL was due")
        try:
            url = join_url(parse_url(answer.url), found)
        except ConfigurationError as error:
            raise DataError(f"the source's link to the next page: {error.message}") from None
        # A link that repeats our own key must not carry it into messages and tables; the client adds it again.
        echoed = answer.secret_params & set(url.query)
        url = url.without_query_params(*echoed) if echoed else url
        return _chained(_read(cursor), self._same_origin(str(url)))

    def _same_origin(self, url: str) -> str:
        expected, found = origin(parse_url(self.first_url)), origin(parse_url(url))
        if expected != found:
            raise DataError(
                f"the link to the next page leads from {expected} to {found}",
                hint="Only links on the configured origin are followed: configure the origin the source links to.",
            )
        return url


def _chained(state: _State | None, found: str) -> str:
    """Brent's way of finding a circle without a memory: one earlier position is kept, renewed on pages 2, 4, 8, 16 …
    so a circle of any length is noticed before it has been walked three times."""
    page, mark = (1, "") if state is None else (state.page, state.mark)
    seen = _fingerprint(found)
    if seen == mark or (state is not None and found == str(state.at)):
        raise DataError(f"the source's paging goes in circles: after page {page} comes one that was read before")
    renew = (page + 1) & page == 0  # the page that `found` fetches is a power of two
    return _write(_State(at=found, page=page + 1, mark=seen if renew else mark))


_TOTALS = ("total", "total_count", "totalCount", "total_items", "totalItems", "total_records", "totalRecords")
_MORE = ("has_more", "hasMore", "has_next", "hasNext")


def announced_total(body: Any, headers: Mapping[str, str]) -> int | None:
    """Records in the whole read, as X-Total-Count or one of the usual fields of the body say; a hint, no proof."""
    text = headers.get("x-total-count", "").strip()
    if text.isdecimal() and len(text) < 16:
        return int(text)
    if not isinstance(body, dict):
        return None
    totals = (body.get(name) for name in _TOTALS)
    return next((total for total in totals if isinstance(total, int) and not isinstance(total, bool)), None)


def _says_more(answer: PageAnswer, read: int) -> bool | None:
    """Whether records are left beyond the `read` ones, as the answer itself says; None when it does not say."""
    body = answer.body if isinstance(answer.body, dict) else {}
    flags = {flag for name in _MORE if isinstance(flag := body.get(name), bool)}
    total = announced_total(answer.body, answer.headers)
    if True in flags or next_link(answer.headers.get("link", "")) is not None or (total is not None and total > read):
        return True
    return None if total is None and not flags else False


_LINK = re.compile(r"<(?P<url>[^<>]*)>(?P<params>(?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:\"[^\"]*\"|[^\s\";,]*))?)*)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\";,]*))", re.IGNORECASE)


def next_link(header: str) -> str | None:
    """The target of rel=next in a Link header (RFC 8288), None when there is none."""
    for link in _LINK.finditer(header[:16_000]):
        relation = _REL.search(link["params"])
        if relation and "next" in (relation[1] or relation[2] or "").lower().split():
            return link["url"].strip()
    return None
