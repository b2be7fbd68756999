"""A body as it comes off the wire: decompressed in bounded pieces, counted, and proved whole."""

import zlib
from collections.abc import Iterator

from shared.errors import DataError, UnusableBodyError

PIECE_BYTES = 256 * 1024
MAX_RATIO = 200
RATIO_FREE_BYTES = 10 * 1024 * 1024
"""The ratio counts from here on: small bodies of one repeated record compress very well and hurt nobody."""

_GZIP_ONLY = zlib.MAX_WBITS | 16


class BodyDecoder:
    """Feed it what arrives; it yields what was meant, at most `max_bytes` of it.

    We decompress ourselves, with aiohttp's own switched off, as only then both sizes are known: a bomb is refused by
    its ratio before it is long, and a gzip stream without its end is told from a whole one.
    """

    def __init__(self, encoding: str, *, max_bytes: int, place: str) -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", "gzip", "x-gzip"}:
            raise DataError(f"{place} sent a compression that was not asked for")
        self._place = place
        self._max_bytes = max_bytes
        self._gzip = zlib.decompressobj(_GZIP_ONLY) if name in {"gzip", "x-gzip"} else None
        self._wire_bytes = 0
        self._bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decompressed pieces of `data`. Raises DataError above a bound, UnusableBodyError for broken gzip."""
        if self._gzip is None:
            self._count(len(data), len(data))
            yield data
            return
        while data:
            if self._gzip.eof:  # another gzip member follows, or the zeros that pad the last one
                data = data.lstrip(b"\x00")
                if not data:
                    return
                self._gzip = zlib.decompressobj(_GZIP_ONLY)
            try:
                piece = self._gzip.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise UnusableBodyError(f"{self._place} sent a body whose compression is broken") from None
            rest = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
            self._count(len(data) - len(rest), len(piece))
            data = rest
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises UnusableBodyError when the compressed body stopped before its end."""
        if self._gzip is not None and self._wire_bytes and not self._gzip.eof:
            raise UnusableBodyError(f"{self._place} sent a body that was cut off")

    def _count(self, wire_size: int, size: int) -> None:
        self._wire_bytes += wire_size
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise DataError(
                f"{self._place} sent more than {self._max_bytes:,} bytes in one answer",
                hint="Ask for smaller pages, or for fewer fields.",
            )
        if self._bytes > RATIO_FREE_BYTES and self._bytes > MAX_RATIO * self._wire_bytes:
            raise DataError(f"{self._place} sent a body that swells more than {MAX_RATIO} times when decompressed")
