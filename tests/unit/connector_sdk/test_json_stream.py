"""The streamed reader finds what the whole parser finds, however the body is cut, and stays within its bounds."""

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.connector_sdk.json_body import MAX_DEPTH, parse_json
from shared.connector_sdk.json_stream import MAX_RECORD_BYTES, JsonRecords
from shared.errors import DataError, UnusableBodyError


def read(body: bytes, path: str = "", content_type: str = "", piece: int = 7) -> list[Any]:
    reader = JsonRecords(tuple(path.split(".")) if path else (), content_type)
    found = [element for at in range(0, len(body), piece) for element in reader.feed(body[at : at + piece])]
    found += reader.finish()
    assert reader.found == "array"
    return found


KEYS = st.sampled_from(["a", "b", "data", "item", "", "a.b", "ä"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    around=st.dictionaries(KEYS, VALUES, max_size=4),
    within=st.dictionaries(KEYS, VALUES, max_size=3),
    elements=st.lists(VALUES, max_size=4),
    path=st.lists(KEYS.filter(lambda key: "." not in key), max_size=2),
    seed=st.integers(0, 2**32),
)
def test_it_finds_what_the_whole_parser_finds(
    around: dict[str, Any], within: dict[str, Any], elements: list[Any], path: list[str], seed: int
) -> None:
    value: Any = elements
    for key, others in zip(reversed(path), (within, around), strict=False):
        fields = list(({**others, key: value}).items())
        random.Random(seed).shuffle(fields)
        value = dict(fields)
    body = json.dumps(value, ensure_ascii=bool(seed % 2)).encode()
    reader = JsonRecords(tuple(path))
    cuts = random.Random(seed)
    found, at = [], 0
    while at < len(body):
        size = cuts.choice((1, 2, 5, 50))
        found += reader.feed(body[at : at + size])
        at += size
    found += reader.finish()

    assert found == elements
    assert reader.found == "array"
    is_odd = bool(elements) and not any(isinstance(element, dict) for element in elements)
    assert (reader.first is not None) == is_odd


def test_numbers_are_exact_and_every_charset_is_read() -> None:
    text = '{"data":[{"price":1.10,"big":123456789012345678901234567890,"name":"ä€"}]}'
    expected = parse_json(text.encode())["data"]
    assert expected[0]["price"] == Decimal("1.10")
    for body, content_type in (
        (text.encode(), ""),
        (text.encode("utf-8-sig"), "application/json"),
        (text.encode("utf-16"), "application/json"),
        (text.encode("utf-16-be"), "application/json; charset=utf-16-be"),
        (text.replace("€", "").encode("cp1252"), "application/json; charset=windows-1252"),
    ):
        found = read(body, "data", content_type)
        assert found == (expected if "1252" not in content_type else [{**expected[0], "name": "ä"}])


@pytest.mark.parametrize("body", [b"", b"[1", b'[{"a":1}', b"[{}]x", b"[NaN]", b"[s3cr3t]", b'["\xff"]', b"<html>"])
def test_what_is_no_whole_json_is_unusable(body: bytes) -> None:
    with pytest.raises(UnusableBodyError) as caught:
        read(body)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"data":null}', "null"),
        (b'{"data":{"item":[{}]}}', "object"),
        (b'{"data":"x"}', "string"),
        (b'{"other":[{}]}', None),
        (b'[{"data":[{}]}]', None),
        (b'{"x":{"data":[{}]}}', None),
        (b'{"data.x":[{}]}', None),
    ],
)
def test_a_missing_list_is_told_from_an_empty_one(body: bytes, found: str | None) -> None:
    reader = JsonRecords(("data",))
    assert [*reader.feed(body), *reader.finish()] == []
    assert reader.found == found


def test_a_list_that_is_there_twice_is_refused() -> None:
    with pytest.raises(DataError, match="twice"):
        read(b'{"data":[{"a":1}],"data":[{"a":2}]}', "data")


@pytest.mark.parametrize(
    ("start", "piece", "says"),
    [
        (b"", b"[" * 10_000, "nested"),
        (b"[", b'{"a":' * 10_000, "nested"),
        (b'{"a":', b'{"a":' * 10_000, "nested"),
        (b"[{", b'"k":0,' * 10_000, "without a whole record"),
        (b'["', b"x" * 100_000, "without a whole record"),
        (b'{"data":"', b"x" * 100_000, "without a whole record"),
        (b"[", b" " * 100_000, "without a whole record"),
        (b"[", b"9" * 5_000 + b",", "4,300 digits"),
    ],
)
def test_what_would_fill_the_memory_is_refused_while_it_is_small(start: bytes, piece: bytes, says: str) -> None:
    fed = 0

    def feed_for_ever() -> None:
        nonlocal fed
        reader = JsonRecords(())
        for data in (start, *[piece] * 5_000):
            fed += len(data)
            list(reader.feed(data))

    with pytest.raises(DataError, match=says):
        feed_for_ever()
    assert fed <= MAX_RECORD_BYTES + len(start) + len(piece)


def test_the_depth_is_the_whole_parsers() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert read(deep) == parse_json(deep)
    with pytest.raises(DataError, match="nested"):
        read(b"[" + deep + b"]")
