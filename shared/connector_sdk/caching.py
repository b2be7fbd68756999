"""One step's use of kept answers: which may stand for a call, which the vendor is asked about, and what is kept.

Nothing is kept before the connector has accepted what it read (`keep`). Redis being away, or an entry that nobody can
open, is a miss: the cache never fails a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

import structlog

from shared.clock import Clock
from shared.connector_sdk.protocol import Request
from shared.contracts.messages import encode_json
from shared.coordination.ports import KeptAnswer, Question, ResponseCache, Shelf, Wanted
from shared.errors import PlatformAwayError
from shared.storage.cache_rules import CacheRule

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of one answer, and of all that one step reads: what goes beyond is not kept. Held in memory until the step's end."""
_KEPT_HEADERS = frozenset({"content-type", "date", "etag", "last-modified", "link", "x-total-count"})
_MAX_HEADER_CHARS = 8_000
_YOUNG = timedelta(seconds=2)
"""What changed so shortly before the answer may change again within the same second (RFC 9110, 8.8.2.2)."""

CacheEvent = Literal["hit", "miss", "confirmed", "kept", "no_room", "away"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept for a request. `usable`: it may stand for the call; else the vendor is asked about it."""

    answer: KeptAnswer
    usable: bool

    @property
    def validators(self) -> Mapping[str, str]:
        """The header that asks whether the answer still holds. Of a usable answer there may be none."""
        headers = self.answer.headers
        if "etag" in headers:
            return {"If-None-Match": headers["etag"]}
        if "last-modified" in headers:
            return {"If-Modified-Since": headers["last-modified"]}
        return {}

    def is_confirmed_by(self, headers: Mapping[str, str]) -> bool:
        """Whether a 304 with these headers speaks of this answer: one that names another tag does not."""
        mine, named = self.answer.headers.get("etag"), headers.get("etag")
        return mine is None or named is None or mine.removeprefix("W/") == named.removeprefix("W/")


class StepCache:
    """For one step. `fingerprint` names bytes without telling them; `told` hears what happened."""

    def __init__(
        self,
        store: ResponseCache,
        rule: CacheRule,
        shelf: Shelf,
        credentials: str,
        fingerprint: Callable[[bytes], str],
        clock: Clock,
        told: Callable[[CacheEvent], None],
        *,
        uses: bool,
    ) -> None:
        """`credentials`: their fingerprint. `uses`: what is kept may stand for a call, as the rule allows."""
        self._store = store
        self._rule = rule
        self._shelf = shelf
        self._credentials = credentials
        self._fingerprint = fingerprint
        self._clock = clock
        self._told = told
        self._uses = uses and rule.use != "never"
        self._waiting: list[tuple[Question, KeptAnswer, bool]] = []
        """With each answer, whether the vendor can be asked about it."""
        self._still_good: list[tuple[Question, KeptAnswer]] = []
        self._bytes = 0

    async def look(self, request: Request, *, read_anew: bool) -> Known | None:
        """What is kept for this request. `read_anew`: the step has called, and after that no older answer may come."""
        may_use = self._uses and not read_anew
        may_ask = self._rule.conditional and _can_be_confirmed(request)
        if not may_use and not may_ask:
            return None
        try:
            wanted: Wanted = "stale" if not may_use else "either" if may_ask else "fresh"
            found = await self._store.find(self._shelf, self._question(request), wanted)
        except PlatformAwayError:
            self._told("away")
            return None
        usable = found is not None and may_use and self._is_usable(found)
        if may_use:
            self._told("hit" if usable else "miss")
        if found is None or not (usable or (may_ask and _speaks_by_body(found))):
            return None
        return Known(found, usable)

    def took(
        self, request: Request, headers: Mapping[str, str], body: bytes, url: str, secret_params: frozenset[str]
    ) -> None:
        """A good answer (200, whole, not a web page) came: keep it if the step ends well."""
        if self._bytes + len(body) > MAX_BODY_BYTES:
            self._bytes = MAX_BODY_BYTES  # what follows is as much a part of the read: it is not kept either
            return
        self._bytes += len(body)
        answer = KeptAnswer(_kept_headers(headers), body, url, secret_params, self._clock.unix(), self._rule.run_seq)
        self._waiting.append((self._question(request), answer, _can_be_confirmed(request) and _speaks_by_body(answer)))

    def confirmed(self, request: Request, known: Known) -> None:
        """The vendor said that what is kept still holds."""
        self._told("confirmed")
        answer = replace(known.answer, kept_at=self._clock.unix(), kept_by=self._rule.run_seq)
        self._still_good.append((self._question(request), answer))

    async def distrust(self, request: Request) -> None:
        """The vendor said "not modified" of something else: who comes back to this request asks for it whole."""
        try:
            await self._store.distrust(self._shelf, self._question(request))
        except PlatformAwayError:
            self._told("away")

    async def keep(self) -> None:
        """The connector has accepted all that the step read. Never raises PlatformAwayError."""
        waiting, self._waiting = self._waiting, []
        still_good, self._still_good = self._still_good, []
        shelf, ttl = self._shelf, self._rule.ttl
        try:
            for question, answer in still_good:
                await self._store.confirm(shelf, question, answer, ttl=ttl)
            for question, answer, to_confirm in waiting:
                kept = await self._store.keep(shelf, question, answer, ttl=ttl, to_confirm=to_confirm)
                self._told("kept" if kept else "no_room")
        except PlatformAwayError as error:
            self._told("away")
            _log.debug("answers not kept", why=error.message)

    def _is_usable(self, found: KeptAnswer) -> bool:
        # The key's life is what the source allowed then; this is what it allows now.
        young = self._clock.unix() - found.kept_at < self._rule.ttl
        return found.fresh and young and self._rule.good_for_use(found.kept_by)

    def _question(self, request: Request) -> Question:
        """Equal for equal requests of this source with these credentials; of parameters the order does not matter."""
        headers = sorted((name.lower(), value) for name, value in request.headers.items())
        asked = [
            self._shelf.source_id,
            self._shelf.secret.hex(),
            self._credentials,
            request.method,
            request.url,
            sorted(request.params),
            headers,
            request.json,
        ]
        return Question(request.method, self._fingerprint(encode_json(asked)))


def _can_be_confirmed(request: Request) -> bool:
    """A 304 speaks of a body: not of a header that says how the read goes on."""
    return request.method == "GET" and not request.goes_on_by_header


def _speaks_by_body(answer: KeptAnswer) -> bool:
    """Whether it has a validator, and nothing beside the body that says how much there is."""
    names = answer.headers.keys()
    return not names.isdisjoint({"etag", "last-modified"}) and names.isdisjoint({"link", "x-total-count"})


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if name in _KEPT_HEADERS and len(value) <= _MAX_HEADER_CHARS}
    if not _is_settled(kept):
        kept.pop("last-modified", None)
    return kept


def _is_settled(headers: Mapping[str, str]) -> bool:
    """Whether the time of change, a whole second, was over when the answer was made."""
    changed, answered = _time(headers.get("last-modified")), _time(headers.get("date"))
    return changed is not None and answered is not None and changed + _YOUNG <= answered


def _time(text: str | None) -> datetime | None:
    try:
        moment = None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
