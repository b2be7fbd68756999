"""The written form of keys, `kid:base64-of-32-bytes` separated by commas, and the refusal of keys that are no keys."""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from shared.errors import StartupError

KEY_BYTES = 32
KID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_MIN_DISTINCT_BYTES = 12
"""32 random bytes hold about 30 distinct values; fewer than 12 has a chance below 10^-25."""
_PRINTABLE_ASCII = range(0x20, 0x7F)


@dataclass(frozen=True, slots=True)
class NamedKey:
    """One key of a list. `repr` shows the name alone."""

    kid: str
    material: bytes = field(repr=False)


def parse_keys(setting: str, text: str | None) -> tuple[NamedKey, ...]:
    """The keys of `text`, the current one first.

    Raises StartupError that names `setting` and the entry's position. It never quotes an entry, not even its kid:
    who swaps the two halves would find the key in the log.
    """
    if text is None or not text.strip():
        raise _refuse(setting, "is missing")
    keys = tuple(_parse_entry(setting, number, entry) for number, entry in enumerate(text.split(","), start=1))
    _refuse_repeats(setting, keys)
    return keys


def format_keys(keys: Iterable[NamedKey]) -> str:
    """The form that `parse_keys` reads. Holds key material: for handing on to a child process, never for a log."""
    return ",".join(f"{key.kid}:{base64.b64encode(key.material).decode()}" for key in keys)


def require_kid(kid: str) -> str:
    """`kid` itself. Raises ValueError when it is no key name."""
    if not KID.fullmatch(kid):
        raise ValueError("a key's name is 1 to 64 letters, digits, dots, dashes or underscores")
    return kid


def _parse_entry(setting: str, number: int, entry: str) -> NamedKey:
    kid, colon, encoded = entry.strip().partition(":")
    if not colon or not KID.fullmatch(kid):
        raise _refuse(setting, f"entry {number} is not of the form kid:base64")
    material = _decode(encoded)
    if material is None:
        raise _refuse(setting, f"entry {number} is not valid base64")
    if len(material) != KEY_BYTES:
        raise _refuse(setting, f"entry {number} is {len(material)} bytes long, a key has {KEY_BYTES}")
    if is_guessable(material):
        raise _refuse(setting, f"entry {number} is a default or guessable key, not a random one")
    return NamedKey(kid, material)


def _decode(encoded: str) -> bytes | None:
    """Standard or URL-safe base64, with or without padding: operators paste from both kinds of tool."""
    plain = encoded.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def is_guessable(material: bytes) -> bool:
    """True for what a person types or a template ships: words, repetitions, counting. Random bytes never match."""
    steps = {(after - before) % 256 for before, after in pairwise(material)}
    repeats = any(material[period:] == material[:-period] for period in range(1, len(material) // 2 + 1))
    return (
        len(set(material)) < _MIN_DISTINCT_BYTES
        or len(steps) == 1
        or repeats
        or all(byte in _PRINTABLE_ASCII for byte in material.rstrip(b"\0\n"))
    )


def _refuse_repeats(setting: str, keys: Sequence[NamedKey]) -> None:
    if len({key.kid for key in keys}) != len(keys):
        raise _refuse(setting, "names two keys alike")
    if len({key.material for key in keys}) != len(keys):
        raise _refuse(setting, "holds one key under two names")


def _refuse(setting: str, problem: str) -> StartupError:
    return StartupError(f"{setting} {problem}", hint="Make a key with `headrace keys generate`.")
