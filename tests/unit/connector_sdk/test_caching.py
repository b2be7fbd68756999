"""One step's use of kept answers: what is the same request, what may be kept, and that the cache fails nothing."""

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.clock import ManualClock
from shared.connector_sdk.caching import MAX_BODY_BYTES, CacheEvent, StepCache
from shared.connector_sdk.protocol import Request
from shared.contracts.ids import SourceId, UserId
from shared.coordination.ports import KeptAnswer, Question, Shelf, Wanted
from shared.errors import PlatformAwayError
from shared.storage.cache_rules import CacheRule

REQUEST = Request("GET", "http://vendor/items", params=(("a", "1"), ("b", "2")), headers={"Accept": "application/json"})
RULE = CacheRule(SourceId(uuid4()), UserId(uuid4()), 60, UUID(int=1), "first", run_seq=5, kept_since=3)
SHELF = Shelf("json_api", "user", "source", b"secret")


@dataclass
class Shelves:
    """ResponseCache in memory, or away."""

    kept: dict[Question, tuple[KeptAnswer, int, bool]] = field(default_factory=dict)
    away: bool = False

    async def find(self, shelf: Shelf, question: Question, wanted: Wanted) -> KeptAnswer | None:  # noqa: ARG002
        self.check()
        found = self.kept.get(question)
        return None if found is None or (wanted == "stale" and not found[2]) else found[0]

    async def keep(
        self,
        shelf: Shelf,  # noqa: ARG002 - one shelf
        question: Question,
        answer: KeptAnswer,
        *,
        ttl: int,
        to_confirm: bool,
    ) -> bool:
        self.check()
        self.kept[question] = (answer, ttl, to_confirm)
        return True

    async def confirm(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int) -> bool:
        return await self.keep(shelf, question, answer, ttl=ttl, to_confirm=True)

    async def distrust(self, shelf: Shelf, question: Question) -> None:  # noqa: ARG002 - one shelf
        self.check()
        del self.kept[question]

    async def purge(self, source_id: str) -> None:
        """Not asked for here."""

    def check(self) -> None:
        if self.away:
            raise PlatformAwayError("Redis is away")


@dataclass
class Rig:
    store: Shelves = field(default_factory=Shelves)
    clock: ManualClock = field(default_factory=ManualClock)
    events: list[CacheEvent] = field(default_factory=list)

    def step(
        self, rule: CacheRule = RULE, *, credentials: str = "c", shelf: Shelf = SHELF, uses: bool = True
    ) -> StepCache:
        return StepCache(self.store, rule, shelf, credentials, _named, self.clock, self.events.append, uses=uses)

    async def keep(self, rule: CacheRule, request: Request = REQUEST, body: bytes = b"{}", **headers: str) -> None:
        step = self.step(rule)
        step.took(
            request, {name.replace("_", "-"): value for name, value in headers.items()}, body, request.url, frozenset()
        )
        await step.keep()


def _named(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_nothing_is_kept_before_the_step_has_ended_well(rig: Rig) -> None:
    step = rig.step()
    step.took(REQUEST, {}, b"{}", REQUEST.url, frozenset())
    assert rig.store.kept == {}
    await step.keep()
    await step.keep()
    assert len(rig.store.kept) == 1
    assert rig.events == ["kept"]


@pytest.mark.parametrize(
    ("kept_by", "usable"),
    [(None, False), (2, False), (3, True), (4, True), (5, False), (6, False)],
    ids=["by_a_test", "before_the_last_read", "the_last_read", "since_then", "this_run", "a_later_run"],
)
async def test_a_run_uses_answers_of_the_last_good_read_or_newer(rig: Rig, kept_by: int | None, usable: bool) -> None:
    await rig.keep(replace(RULE, run_seq=kept_by), etag='"a"')
    known = await rig.step().look(REQUEST, read_anew=False)
    assert known is not None
    assert known.usable is usable
    of_a_test = await rig.step(replace(RULE, run_seq=None)).look(REQUEST, read_anew=False)
    assert of_a_test is not None
    assert of_a_test.usable


async def test_an_answer_is_used_while_the_source_allows_and_not_after_a_call(rig: Rig) -> None:
    await rig.keep(replace(RULE, run_seq=4), etag='"a"')
    for step, read_anew, usable in (
        (rig.step(), False, True),
        (rig.step(), True, False),
        (rig.step(uses=False), False, False),
        (rig.step(replace(RULE, use="never")), False, False),
        (rig.step(replace(RULE, kept_since=None)), False, False),
        (rig.step(replace(RULE, ttl=30)), False, True),
    ):
        known = await step.look(REQUEST, read_anew=read_anew)
        assert (known is not None and known.usable) is usable
    rig.clock.advance(45)
    known = await rig.step(replace(RULE, ttl=30)).look(REQUEST, read_anew=False)
    assert known is not None
    assert not known.usable


async def test_who_forces_does_not_even_look(rig: Rig) -> None:
    await rig.keep(replace(RULE, run_seq=4))
    rig.store.away = True
    assert await rig.step(replace(RULE, use="never", conditional=False)).look(REQUEST, read_anew=False) is None
    assert rig.events == ["kept"]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"params": (("b", "2"), ("a", "1"))}, True),
        ({"headers": {"accept": "application/json"}}, True),
        ({"params": (("a", "1"),)}, False),
        ({"headers": {"Accept": "text/csv"}}, False),
        ({"url": "http://vendor/other"}, False),
        ({"json": {"a": 1}}, False),
        ({"method": "POST"}, False),
    ],
    ids=["order_of_parameters", "case_of_header_names", "parameters", "headers", "url", "body", "method"],
)
async def test_what_makes_a_request_the_same(rig: Rig, change: dict[str, Any], same: bool) -> None:
    await rig.keep(replace(RULE, run_seq=4))
    found = await rig.step().look(replace(REQUEST, **change), read_anew=False)
    assert (found is not None) is same


async def test_other_credentials_and_other_sources_have_answers_of_their_own(rig: Rig) -> None:
    await rig.keep(replace(RULE, run_seq=4))
    assert await rig.step(credentials="d").look(REQUEST, read_anew=False) is None
    for other in (replace(SHELF, source_id="other"), replace(SHELF, secret=b"other")):
        assert await rig.step(shelf=other).look(REQUEST, read_anew=False) is None


async def test_what_is_large_is_not_kept_and_nothing_after_it(rig: Rig) -> None:
    step = rig.step()
    for number, size in enumerate((MAX_BODY_BYTES - 10, 11, 5)):
        step.took(replace(REQUEST, url=f"http://vendor/{number}"), {}, b"x" * size, "", frozenset())
    await step.keep()
    assert [len(answer.body) for answer, _, _ in rig.store.kept.values()] == [MAX_BODY_BYTES - 10]


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({"etag": 'W/"a"'}, {"If-None-Match": 'W/"a"'}),
        ({"etag": '"a"', "last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {"If-None-Match": '"a"'}),
        (
            {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT", "date": "Mon, 01 Jan 2024 00:00:02 GMT"},
            {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        ),
        ({"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT", "date": "Mon, 01 Jan 2024 00:00:01 GMT"}, {}),
        ({"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {}),
        ({"last_modified": "yesterday", "date": "Mon, 01 Jan 2024 00:00:02 GMT"}, {}),
        ({"set_cookie": "a=b", "x_token": "t"}, {}),
        ({"etag": '"a"', "x_total_count": "20"}, {}),
        ({"etag": '"a"', "link": "<http://vendor/items?page=2>; rel=next"}, {}),
    ],
    ids=[
        "weak",
        "tag_before_time",
        "time",
        "changed_just_now",
        "no_date",
        "no_time",
        "neither",
        "total_in_a_header",
        "next_in_a_header",
    ],
)
async def test_by_what_the_vendor_is_asked(rig: Rig, headers: dict[str, str], asks: dict[str, str]) -> None:
    await rig.keep(replace(RULE, run_seq=4), **headers)
    known = await rig.step(uses=False).look(REQUEST, read_anew=False)
    assert ({} if known is None else known.validators) == asks
    assert all(not {"set-cookie", "x-token"} & kept.headers.keys() for kept, _, _ in rig.store.kept.values())


@pytest.mark.parametrize("change", [{"goes_on_by_header": True}, {"method": "POST"}], ids=["goes_on_by_header", "post"])
async def test_what_a_304_cannot_speak_of_is_not_asked_about(rig: Rig, change: dict[str, Any]) -> None:
    """A page whose body has not changed may have another page after it by now."""
    request = replace(REQUEST, **change)
    await rig.keep(replace(RULE, run_seq=4), request, etag='"a"')
    assert await rig.step(uses=False).look(request, read_anew=False) is None
    known = await rig.step().look(request, read_anew=False)
    assert known is not None
    assert known.usable


@pytest.mark.parametrize("kept_by", [None, 2], ids=["by_a_test", "before_the_last_read"])
@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"goes_on_by_header": True}, {}),
        ({"goes_on_by_header": True}, {"link": "<http://vendor/items?page=2>; rel=next"}),
        ({"method": "POST"}, {}),
        ({}, {"link": "<http://vendor/items?page=2>; rel=next"}),
        ({}, {"x_total_count": "20"}),
    ],
    ids=["last_page_by_header", "page_by_header", "post", "link", "total_in_a_header"],
)
async def test_nor_if_it_is_fresh_and_may_not_be_used(
    rig: Rig, kept_by: int | None, change: dict[str, Any], headers: dict[str, str]
) -> None:
    """Else a 304 would bring back headers that name no next page, and the read would end too early."""
    request = replace(REQUEST, **change)
    await rig.keep(replace(RULE, run_seq=kept_by), request, etag='"a"', **headers)
    assert await rig.step().look(request, read_anew=False) is None
    assert rig.events == ["kept", "miss"]


async def test_redis_away_is_a_miss_and_keeps_nothing(rig: Rig) -> None:
    rig.store.away = True
    step = rig.step()
    assert await step.look(REQUEST, read_anew=False) is None
    step.took(REQUEST, {}, b"{}", REQUEST.url, frozenset())
    await step.keep()
    await step.distrust(REQUEST)
    assert rig.events == ["away"] * 3
