"""A body as text, while it arrives: unpacked if it is a .gz file, decoded strictly, never by guessing. No I/O."""

import codecs
from collections.abc import Iterator
from email.message import Message

from shared.errors import DataError, UnusableBodyError
from shared.http.body import BodyDecoder

MAX_UNPACKED_BYTES = 4 * 1024 * 1024 * 1024

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with UTF-16's mark, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP_START = b"\x1f\x8b"
_NO_TEXT = {b"PK\x03\x04": "a ZIP archive or an Excel workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}
_START_BYTES = 4
"""As many as the longest mark."""
_ODD_CODECS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"})
"""Text encodings to Python, but nobody's for a file."""


def text_codec(name: str) -> str | None:
    """The codec's own name; None when there is no such encoding of text."""
    try:
        info = codecs.lookup(name)
        probe = codecs.getincrementaldecoder(name)("strict").decode("a,1\n".encode(name), final=True)
    except (LookupError, ValueError, TypeError, AttributeError):  # the last two: codecs of bytes to bytes
        return None
    plain = info.name.replace("_", "-")
    return plain if probe == "a,1\n" and plain not in _ODD_CODECS else None


class TextBody:
    """Feed it the body's pieces, however they are cut; it yields the text without a byte order mark.

    The encoding is `encoding`, else the mark's, else Content-Type's charset, else UTF-8. Text that does not fit it is
    an error that names the byte: a guess would alter people's data. `place` is what errors may say of the address.
    """

    def __init__(self, encoding: str | None, content_type: str, place: str) -> None:
        self._place = place
        self._characters = _Characters(encoding, content_type, place)
        self._start = b""
        self._begun = False
        self._gzip: BodyDecoder | None = None

    def feed(self, data: bytes) -> Iterator[str]:
        """Raises DataError for what cannot be text or swells beyond the bounds, UnusableBodyError for broken gzip."""
        if not self._begun:
            self._start += data
            if len(self._start) >= _START_BYTES:
                yield from self._begin()
            return
        yield from self._read(data)

    def finish(self) -> Iterator[str]:
        """The rest. Raises UnusableBodyError when the body stopped in the middle of a character or of its gzip."""
        if not self._begun:
            yield from self._begin()
        if self._gzip is not None:
            self._gzip.finish()
        yield from self._characters.finish()

    def _begin(self) -> Iterator[str]:
        self._begun = True
        for start, what in _NO_TEXT.items():
            if self._start.startswith(start):
                raise DataError(f"{self._place} sent {what}, not text", hint="Export it as CSV.")
        if self._start.startswith(_GZIP_START):
            self._gzip = BodyDecoder("gzip", max_bytes=MAX_UNPACKED_BYTES, place=self._place)
        yield from self._read(self._start)
        self._start = b""

    def _read(self, data: bytes) -> Iterator[str]:
        for piece in (data,) if self._gzip is None else self._gzip.feed(data):
            yield from self._characters.feed(piece)


class _Characters:
    """Bytes to text."""

    def __init__(self, encoding: str | None, content_type: str, place: str) -> None:
        self._place = place
        self._encoding = encoding
        self._content_type = content_type
        self._start = b""
        self._fed = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[str]:
        if self._decoder is None:
            self._start += data
            if len(self._start) < _START_BYTES:
                return
            data = self._choose()
        yield from self._decode(data, final=False)

    def finish(self) -> Iterator[str]:
        yield from self._decode(self._choose() if self._decoder is None else b"", final=True)

    def _choose(self) -> bytes:
        name = self._encoding or self._marked() or _charset(self._content_type) or "utf-8"
        self._encoding = name
        self._decoder = codecs.getincrementaldecoder(name)("strict")
        return self._start

    def _marked(self) -> str | None:
        return next((name for mark, name in _MARKS if self._start.startswith(mark)), None)

    def _decode(self, data: bytes, *, final: bool) -> Iterator[str]:
        assert self._decoder is not None
        self._fed += len(data)
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            if error.reason in _CUT_REASONS:
                raise UnusableBodyError(f"{self._place} sent a body that was cut off in a character") from None
            raise self._misfit(error) from None
        except UnicodeError:  # UTF-16 without a mark, from codecs that insist on one
            raise DataError(f"{self._place} sent text that is not {self._encoding}", hint=_HINT) from None
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if text:
            yield text

    def _misfit(self, error: UnicodeDecodeError) -> DataError:
        position = self._fed - len(error.object) + error.start
        wrong = error.object[error.start]
        return DataError(
            f"{self._place} sent text that is not {self._encoding}: byte 0x{wrong:02X} at position {position:,}",
            hint=_HINT,
        )


_CUT_REASONS = frozenset({"unexpected end of data", "truncated data", "incomplete multibyte sequence"})
"""What codecs say at the end of a text that stopped inside a character; before the end they wait for the rest."""
_HINT = "Set `encoding` to what the file is written in; cp1252 and utf-16 are frequent."


def _charset(content_type: str) -> str | None:
    """The charset that the label names, if it is one; ASCII is read as UTF-8, whose beginning it is."""
    header = Message()
    header["Content-Type"] = content_type
    named = header.get_content_charset()
    codec = text_codec(named) if named else None
    return "utf-8" if codec == "ascii" else codec
