"""Vendor JSON: exact, whole, and no deeper than is safe."""

from decimal import Decimal
from typing import Any

import pytest

from shared.connector_sdk.json_body import MAX_DEPTH, parse_json
from shared.errors import DataError, UnusableBodyError


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a":1.10}', "application/json", {"a": Decimal("1.10")}),
        (b"[123456789012345678901234567890]", "", [123456789012345678901234567890]),
        (b"\xef\xbb\xbf[]", "", []),
        ('["ä€"]'.encode("utf-16"), "application/json", ["ä€"]),
        ('["ä"]'.encode("utf-16-be"), "application/json; charset=utf-16-be", ["ä"]),
        ('["ä"]'.encode("latin-1"), "application/json; charset=ISO-8859-1", ["ä"]),
        ('["ä"]'.encode(), 'application/json; charset="nonsense"', ["ä"]),
        ('["ä"]'.encode(), "application/json; charset=hex", ["ä"]),
        (b'{"a":1,"a":2}', "", {"a": 2}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "", None),
        (b'{"f":1,"a":' * MAX_DEPTH + b"1" + b',"z":null}' * MAX_DEPTH, "", None),
    ],
)
def test_values_are_exact_in_every_charset(body: bytes, content_type: str, value: Any) -> None:
    parsed = parse_json(body, content_type)
    assert value is None or parsed == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'["cut \ud83d"]', ["cut \ufffd"]),
        (rb'["\uDE00 cut", 1.10]', ["\ufffd cut", Decimal("1.10")]),
        (rb'["\ud83d\ud83d\ude00\ude00"]', ["\ufffd\U0001f600\ufffd"]),
        (rb'["\\ud83d", "\ud83d", "\\\ud83d"]', [r"\ud83d", "\ufffd", "\\\ufffd"]),
        (rb'{"\ud83d": 1}', {"\ufffd": 1}),
    ],
)
def test_half_a_character_stops_no_record(body: bytes, value: Any) -> None:
    assert parse_json(body) == value
    assert parse_json(body.decode().encode("utf-16"), "application/json") == value
    with pytest.raises(UnusableBodyError):
        parse_json(body[:-1])


@pytest.mark.parametrize(
    "body", [b"", b"[1,2", b'{"a":', b"NaN", b"[Infinity]", b"hello", b"[] x", b'["\xff"]', b'"\xe4"', b"'a'"]
)
def test_what_is_no_whole_json_is_unusable(body: bytes) -> None:
    with pytest.raises(UnusableBodyError):
        parse_json(body)


def test_the_message_shows_no_data() -> None:
    with pytest.raises(UnusableBodyError) as caught:
        parse_json(b'["s3cr3t-canary", oops]')
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"f":1,"a":', b',"z":{}}'), (b'[{},{"f":1},', b",[]]")):
        with pytest.raises(DataError, match="nested"):
            parse_json(opening * depth + b"1" + closing * depth)
