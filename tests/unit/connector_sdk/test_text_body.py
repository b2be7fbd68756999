"""Bytes to text: encodings by their order of trust, files packed as .gz, and errors that name the byte."""

import codecs
import gzip
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connector_sdk.text_body import TextBody, text_codec
from shared.errors import DataError, UnusableBodyError


def text_of(pieces: Iterable[bytes], encoding: str | None = None, content_type: str = "") -> str:
    body = TextBody(encoding, content_type, "the file")
    texts = [text for piece in pieces for text in body.feed(piece)]
    return "".join([*texts, *body.finish()])


@pytest.mark.parametrize(
    ("data", "encoding", "content_type"),
    [
        ("é,€\n".encode(), None, ""),
        ("é,€\n".encode("utf-8-sig"), None, "text/csv; charset=iso-8859-1"),  # the mark is believed over the label
        ("é,€\n".encode("utf-16"), None, ""),
        (codecs.BOM_UTF16_BE + "é,€\n".encode("utf-16-be"), None, ""),
        ("é,€\n".encode("utf-32"), None, ""),
        ("é,€\n".encode("cp1252"), None, 'text/csv; charset="windows-1252"'),
        ("é,€\n".encode("utf-16-le"), None, "text/csv; charset=utf-16-le"),
        ("é,€\n".encode(), None, "text/csv; charset=us-ascii"),  # a frequent wrong label; UTF-8 begins with ASCII
        ("é,€\n".encode(), None, "text/csv; charset=nonsense"),
        ("é,€\n".encode(), None, "text/csv; charset=unicode_escape"),
        ("é,€\n".encode("cp1252"), "cp1252", "text/csv; charset=utf-8"),  # the configuration is believed over all
        ("é,€\n".encode("utf-8-sig"), "utf-8", ""),
        (codecs.BOM_UTF16_LE + "é,€\n".encode("utf-16-le"), "utf-16-le", ""),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_encoding_is_found_in_the_order_of_trust(
    data: bytes, encoding: str | None, content_type: str, packed: bool
) -> None:
    sent = gzip.compress(data, mtime=0) if packed else data
    assert text_of([sent], encoding, content_type) == "é,€\n"
    assert text_of((sent[at : at + 1] for at in range(len(sent))), encoding, content_type) == "é,€\n"


@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=40),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030"]),
    cuts=st.integers(0, 2**32).map(random.Random),
)
def test_the_text_does_not_depend_on_the_cuts(text: str, encoding: str, cuts: random.Random) -> None:
    data = ("a" + text).encode(encoding)
    pieces, at = [], 0
    while at < len(data):
        size = cuts.choice((0, 1, 2, 3, 9))
        pieces.append(data[at : at + size])
        at += size
    assert text_of(pieces, encoding) == "a" + text


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_wrong_bytes_are_an_error_that_names_the_first_one(size: int) -> None:
    data = "abcé,".encode() + "ü\n".encode("cp1252") + b"more"
    with pytest.raises(DataError) as caught:
        text_of(data[at : at + size] for at in range(0, len(data), size))
    assert "not utf-8: byte 0xFC at position 6" in caught.value.message
    assert "encoding" in caught.value.hint


def test_a_wrong_byte_in_a_very_short_body_is_no_cut() -> None:
    with pytest.raises(DataError):
        text_of([b"\xff"])


@pytest.mark.parametrize(
    "data", ["abcé".encode()[:-1], "ab".encode("utf-16")[:-1], gzip.compress(b"abc" * 100, mtime=0)[:-9]]
)
def test_a_body_cut_inside_a_character_or_its_gzip_is_tried_again(data: bytes) -> None:
    with pytest.raises(UnusableBodyError, match="cut off"):
        text_of([data])


def test_what_is_no_text_is_named() -> None:
    with pytest.raises(DataError, match="Excel"):
        text_of([b"PK\x03\x04\x14\x00"])
    with pytest.raises(DataError, match="Excel"):
        text_of([b"\xd0\xcf", b"\x11\xe0\xa1"])


def test_a_packed_bomb_is_refused() -> None:
    with pytest.raises(DataError, match="swells"):
        text_of([gzip.compress(bytes(50_000_000))])


def test_an_empty_body_is_an_empty_text() -> None:
    assert text_of([]) == text_of([b""]) == text_of([gzip.compress(b"", mtime=0)]) == ""


@pytest.mark.parametrize("name", ["nonsense", "base64", "rot13", "zip", "idna", "utf-7", "unicode_escape", "a\0b", ""])
def test_what_is_no_encoding_of_a_file(name: str) -> None:
    assert text_codec(name) is None
