"""Decompression in bounded pieces, with proof of the end."""

import gzip
import zlib

import pytest

from shared.errors import DataError, UnusableBodyError
from shared.http.body import PIECE_BYTES, BodyDecoder


def decode(*chunks: bytes, encoding: str = "gzip", max_bytes: int = 100_000_000) -> bytes:
    decoder = BodyDecoder(encoding, max_bytes=max_bytes, place="p")
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    decoder.finish()
    assert max(map(len, pieces), default=0) <= max(PIECE_BYTES, *map(len, chunks))
    return b"".join(pieces)


def test_whole_bodies_pass_however_they_are_cut_into_chunks() -> None:
    data = bytes(range(256)) * 4_000
    packed = gzip.compress(data)

    assert decode(packed) == data
    assert decode(*(packed[at : at + 7] for at in range(0, len(packed), 7))) == data
    assert decode(gzip.compress(b"a") + gzip.compress(b"b") + b"\0\0\0") == b"ab"
    assert decode(b"plain", encoding="") == b"plain"
    assert decode(b"plain", encoding="Identity") == b"plain"
    assert decode(b"", b"") == b""


def test_gzip_without_its_end_is_cut() -> None:
    packed = gzip.compress(b"x" * 10_000)
    for end in (len(packed) - 1, len(packed) // 2, 5):
        with pytest.raises(UnusableBodyError, match="cut off"):
            decode(packed[:end])


def test_broken_gzip_is_no_body() -> None:
    with pytest.raises(UnusableBodyError, match="broken"):
        decode(b"[1,2,3]")
    with pytest.raises(UnusableBodyError, match="broken"):
        decode(gzip.compress(b"a") + b"garbage")


def test_sizes_and_ratios_are_bounded() -> None:
    with pytest.raises(DataError, match="more than"):
        decode(b"12345", encoding="", max_bytes=4)
    with pytest.raises(DataError, match="more than"):
        decode(gzip.compress(b"12345"), max_bytes=4)

    seen: list[int] = []
    pieces = BodyDecoder("gzip", max_bytes=10**12, place="p").feed(gzip.compress(bytes(100_000_000)))
    with pytest.raises(DataError, match="swells"):
        seen.extend(map(len, pieces))
    assert sum(seen) < 12_000_000


def test_a_compression_nobody_asked_for_is_refused() -> None:
    with pytest.raises(DataError, match="not asked for"):
        decode(zlib.compress(b"x"), encoding="br")
