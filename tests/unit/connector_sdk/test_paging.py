"""Pagers as pure functions: every style ends, goes on, and notices circles."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connector_sdk.paging import (
    MAX_PAGES,
    CursorPaging,
    LinkPaging,
    NoListError,
    NoPaging,
    NumberedPaging,
    PageAnswer,
    Pager,
    RepeatedPageError,
    is_past_the_end,
    next_link,
)
from shared.contracts.messages import Cursor
from shared.errors import DataError
from shared.http.status import status_error

URL = "https://a.example/items"


def answer(
    count: int = 0, body: Any = None, headers: Mapping[str, str] | None = None, *, start: int = 0, url: str = URL
) -> PageAnswer:
    records = [{"id": start + number} for number in range(count)]
    return PageAnswer(body, records, headers or {}, url, frozenset({"api_key"}))


def by_page(**more: Any) -> NumberedPaging:
    return NumberedPaging(
        **({"param": "page", "size_param": "size", "size": 10, "start": 1, "by_offset": False} | more)
    )


def by_offset(size: int = 10) -> NumberedPaging:
    return NumberedPaging("offset", "limit", size, start=0, by_offset=True)


CURSOR = CursorPaging("after", lambda body: body["next"])
LINK = LinkPaging(URL, lambda body: body["next"])


def params(pager: Pager, cursor: Cursor) -> dict[str, str]:
    return dict(pager.target(cursor).params)


def test_one_page() -> None:
    assert NoPaging().following(None, answer(5)) is None
    with pytest.raises(DataError, match="cursor"):
        NoPaging().target("x")


@pytest.mark.parametrize("came", [10, 3], ids=["full", "short"])
def test_pages_go_on_until_an_empty_one(came: int) -> None:
    pager = by_page()
    assert params(pager, None) == {"page": "1", "size": "10"}

    second = pager.following(None, answer(10))
    assert params(pager, second) == {"page": "2", "size": "10"}
    third = pager.following(second, answer(came, start=10))
    assert params(pager, third) == {"page": "3", "size": "10"}
    assert pager.following(third, answer(0)) is None
    assert params(by_page(start=0, size_param=None), None) == {"page": "0"}


def test_without_a_size_only_an_empty_page_ends() -> None:
    pager = by_page(size=None, size_param=None)
    second = pager.following(None, answer(1))
    assert params(pager, second) == {"page": "2"}
    assert pager.following(second, answer(0)) is None


def test_offsets_move_by_what_came() -> None:
    pager = by_offset()
    assert params(pager, None) == {"offset": "0", "limit": "10"}
    second = pager.following(None, answer(12))
    assert params(pager, second) == {"offset": "12", "limit": "10"}
    third = pager.following(second, answer(9, start=12))
    assert params(pager, third) == {"offset": "21", "limit": "10"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"total": 250}, {}),
        ({"has_more": True}, {}),
        ([], {"x-total-count": "250"}),
        ([], {"link": f'<{URL}?page=2>; rel="next"'}),
    ],
)
def test_a_server_that_caps_pages_is_read_on_in_its_own_steps(body: Any, headers: dict[str, str]) -> None:
    for pager, expected in ((by_page(size=1000), "2"), (by_offset(1000), "100")):
        second = pager.following(None, answer(100, body, headers))
        assert next(iter(params(pager, second).values())) == expected


def test_a_total_that_was_reached_ends_the_read() -> None:
    pager = by_offset(1000)
    second = pager.following(None, answer(100, {"total": 150}))
    assert pager.following(second, answer(50, {"total": 150}, start=100)) is None
    assert by_page().following(None, answer(3, {"has_more": False})) is None
    assert by_page().following(None, answer(3, {"total": True})) is not None
    assert by_page().following(None, answer(0, {"total": 99})) is None


def test_a_server_that_ignores_the_page_is_noticed() -> None:
    for pager in (by_page(), by_page(size=None), by_offset()):
        second = pager.following(None, answer(10))
        third = pager.following(second, answer(10, start=10))
        for cursor, start in ((second, 0), (third, 10), (third, 0)):
            with pytest.raises(RepeatedPageError, match="page before") as caught:
                pager.following(cursor, answer(10, start=start))
            assert not is_past_the_end(cursor, caught.value)


def test_what_a_server_says_behind_a_short_page_is_its_end() -> None:
    cursor = by_page().following(None, answer(3))
    assert is_past_the_end(cursor, NoListError("null"))
    with pytest.raises(RepeatedPageError) as repeated:
        by_page().following(cursor, answer(3))
    assert is_past_the_end(cursor, repeated.value)

    for status, is_end in ((204, True), (400, True), (404, True), (401, False), (429, False), (500, False)):
        error = status_error(status, URL, retry_after=None)
        assert error is not None
        assert is_past_the_end(cursor, error) is is_end
        for full_before in (None, by_page().following(None, answer(10))):
            assert not is_past_the_end(full_before, error)
    assert not is_past_the_end(cursor, DataError("nested too deeply"))


def test_a_refusal_ends_no_read_whose_pages_are_all_short() -> None:
    """A server that caps its pages in silence: a 404 in the middle may be a fault that passes."""
    refused = status_error(404, URL, retry_after=None)
    assert refused is not None
    for pager in (by_page(size=100), by_offset(100)):
        third = pager.following(pager.following(None, answer(10)), answer(10, start=10))
        assert not is_past_the_end(third, refused)
        assert not is_past_the_end(third, NoListError("null"))
        fourth = pager.following(third, answer(4, start=20))
        assert is_past_the_end(fourth, refused)


def test_a_last_page_that_is_filled_up_from_before_is_the_end() -> None:
    pager = by_offset(10)
    second = pager.following(None, answer(10))
    third = pager.following(second, answer(5, start=10))
    fourth = pager.following(third, answer(10, start=5))
    with pytest.raises(RepeatedPageError) as repeated:
        pager.following(fourth, answer(10, start=5))
    assert is_past_the_end(fourth, repeated.value)


def test_cursors_go_on_until_there_is_none() -> None:
    assert params(CURSOR, None) == {}
    second = CURSOR.following(None, answer(body={"next": "abc"}))
    assert params(CURSOR, second) == {"after": "abc"}
    assert params(CURSOR, CURSOR.following(second, answer(body={"next": 17}))) == {"after": "17"}
    for end in (None, "", False):
        assert CURSOR.following(second, answer(body={"next": end})) is None


@pytest.mark.parametrize("wrong", [True, [], {"a": 1}])
def test_a_cursor_of_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match="cursor_path finds"):
        CURSOR.following(None, answer(body={"next": wrong}))


def test_a_cursor_that_stays_is_noticed_at_once() -> None:
    second = CURSOR.following(None, answer(body={"next": "abc"}))
    with pytest.raises(DataError, match="circles"):
        CURSOR.following(second, answer(body={"next": "abc"}))


@given(tail=st.integers(0, 40), length=st.integers(1, 40))
def test_any_circle_is_noticed_within_three_rounds(tail: int, length: int) -> None:
    def vendor(step: int) -> str:
        return f"c{step if step < tail else tail + (step - tail) % length}"

    def walk() -> None:
        cursor: Cursor = None
        for step in range(3 * (tail + length) + 3):
            cursor = CURSOR.following(cursor, answer(body={"next": vendor(step)}))

    with pytest.raises(DataError, match="circles"):
        walk()


@given(length=st.integers(1, 300))
def test_a_path_without_circles_is_walked_to_its_end(length: int) -> None:
    cursor: Cursor = None
    for step in range(length):
        cursor = CURSOR.following(cursor, answer(body={"next": f"c{step}"}))
        assert len(str(cursor)) < 120
    assert CURSOR.following(cursor, answer(body={"next": None})) is None


def test_endless_reads_end() -> None:
    last = f'{{"at":{MAX_PAGES},"page":{MAX_PAGES},"mark":"x"}}'
    with pytest.raises(DataError, match="more than"):
        by_page().following(last, answer(10))


@pytest.mark.parametrize("cursor", ["garbage", "{}", '{"at":1,"page":0}', 7])
def test_a_cursor_that_is_not_ours_is_refused(cursor: Cursor) -> None:
    for pager in (by_page(), CURSOR, LINK):
        with pytest.raises(DataError, match="does not fit") as caught:
            pager.target(cursor)
        assert "Reset" in caught.value.hint


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://a.example/items?after=2", "https://a.example/items?after=2"),
        ("/items?after=2", "https://a.example/items?after=2"),
        ("?after=2", "https://a.example/items?after=2"),
        ("https://A.EXAMPLE:443/items?after=2#x", "https://a.example/items?after=2"),
        ("/items?after=2&api_key=s3cr3t", "https://a.example/items?after=2"),
        ("/items?page_token=2", "https://a.example/items?page_token=2"),
    ],
)
def test_links_are_followed_on_the_same_origin_without_our_key(link: str, expected: str) -> None:
    cursor = LINK.following(None, answer(body={"next": link}))

    assert LINK.target(cursor).url == expected
    assert "s3cr3t" not in str(cursor)


@pytest.mark.parametrize(
    "link",
    [
        "https://b.example/items",
        "http://a.example/items",
        "https://a.example:8443/items",
        "//b.example/items",
        "https://a.example@b.example/",
        "javascript:alert(1)",
        "https://a.example\\@b.example/",
        17,
        {"href": "x"},
    ],
)
def test_other_links_are_refused(link: Any) -> None:
    with pytest.raises(DataError):
        LINK.following(None, answer(body={"next": link}))


def test_a_stored_link_is_judged_again() -> None:
    with pytest.raises(DataError, match="leads from"):
        LINK.target('{"at":"https://b.example/","page":2,"mark":""}')


def test_links_after_a_redirect_are_seen_from_there_but_stay_on_the_configured_origin() -> None:
    with pytest.raises(DataError, match="leads from"):
        LINK.following(None, answer(body={"next": "/x"}, url="https://b.example/moved"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<https://x/?p=2>; rel="next"', "https://x/?p=2"),
        ("<a>; rel=prev, <b>; rel=next", "b"),
        ('<a,b>; title="x, y"; rel="last next"', "a,b"),
        ('<a>; REL="NEXT"', "a"),
        ('<a>; rel="nextish"', None),
        ("<a>", None),
        ("garbage", None),
        ("", None),
        ("<" * 5000 + ";" * 5000, None),
        ("<a>" + "; x" * 5000, None),
    ],
)
def test_link_headers(header: str, expected: str | None) -> None:
    assert next_link(header) == expected
    pager = LinkPaging(URL)
    if expected == "b":
        assert pager.target(pager.following(None, answer(headers={"link": header}))).url == "https://a.example/b"
