"""The dialects in which the same CSV file can be asked for."""

import gzip
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sandboxes.behaviour.validators import etag_of
from sandboxes.files.state import Rows, StoredFile, write_csv

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_QUOTES = {"double": '"', "single": "'"}
_ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be")
_PLAIN_DECIMAL = re.compile(r"-?\d+\.\d+")
_OPTIONS = {"delimiter", "quote", "encoding", "bom", "decimal", "header", "skip", "crlf", "gzip"}
_MAX_MADE = 16


class BadVariantError(ValueError):
    """The query asks for a variant that does not exist; the message says why."""


class Variant(NamedTuple):
    """The bytes to send and how they are declared."""

    body: bytes
    etag: str
    charset: str
    encoding: str | None
    """Content-Encoding."""


def variant(file: StoredFile, query: Mapping[str, str]) -> Variant:
    """The file as the query wants it; as it is, byte for byte, when the query wants nothing."""
    options = {name: value for name, value in query.items() if name in _OPTIONS}
    zipped = _flag(options.pop("gzip", "0"), "gzip")
    charset = _one_of(options.get("encoding", "utf-8"), {name: name for name in _ENCODINGS}, "encoding")
    key = repr((sorted(options.items()), zipped))
    made = file.made.get(key)
    if made is None:
        body = file.content if not options else _write(file.rows, options, charset)
        if zipped:
            body = gzip.compress(body, mtime=0)  # without a time in it, so that the same file has the same ETag
        while len(file.made) >= _MAX_MADE:
            del file.made[next(iter(file.made))]
        made = file.made[key] = body, etag_of(body)
    return Variant(*made, charset, "gzip" if zipped else None)


def _write(make_rows: Callable[[], Rows] | None, options: Mapping[str, str], charset: str) -> bytes:
    if make_rows is None:
        raise BadVariantError("this file has no variants")
    rows = make_rows()
    if options.get("decimal", "point") not in ("point", "comma"):
        raise BadVariantError("decimal is point or comma")
    if options.get("decimal") == "comma":
        rows = [
            {name: _with_comma(value) if isinstance(value, str) else value for name, value in row.items()}
            for row in rows
        ]
    skip = options.get("skip", "0")
    if not skip.isascii() or not skip.isdigit() or int(skip) > 1000:
        raise BadVariantError("skip is a number of lines up to 1000")
    line_end = "\r\n" if _flag(options.get("crlf", "0"), "crlf") else "\n"
    text = write_csv(
        rows,
        delimiter=_one_of(options.get("delimiter", "comma"), _DELIMITERS, "delimiter"),
        quotechar=_one_of(options.get("quote", "double"), _QUOTES, "quote"),
        header=_flag(options.get("header", "1"), "header"),
        line_end=line_end,
    )
    preamble = "".join(f"Exported for you, line {number + 1}{line_end}" for number in range(int(skip)))
    # utf-16 writes its mark by itself
    mark = "\ufeff" if _flag(options.get("bom", "0"), "bom") and charset != "utf-16" else ""
    return (mark + preamble + text).encode(charset, errors="replace")


def _with_comma(value: str) -> str:
    return value.replace(".", ",") if _PLAIN_DECIMAL.fullmatch(value) else value


def _one_of(word: str, meanings: Mapping[str, str], name: str) -> str:
    if word not in meanings:
        raise BadVariantError(f"{name} is one of {', '.join(meanings)}")
    return meanings[word]


def _flag(word: str, name: str) -> bool:
    return _one_of(word, {"0": "", "1": "yes"}, name) == "yes"
