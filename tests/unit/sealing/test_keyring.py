import base64
import os

import pytest

from shared.errors import StartupError
from shared.sealing.keyring import KeyRing, SealingKeys, generate_key
from shared.sealing.symmetric import SymmetricBox, derive_webhook_keys


def entry(material: bytes, kid: str = "k1") -> str:
    return f"{kid}:{base64.b64encode(material).decode()}"


GOOD = bytes.fromhex("8f1d0a77c2e95b3460fe12d9a4c80b6f39e7512cbd4608f3a15e9c27d06b84f2")
BAD = {
    "missing": (None, "is missing"),
    "empty": ("  ", "is missing"),
    "no kid": (base64.b64encode(GOOD).decode(), "entry 1 is not of the form"),
    "empty kid": (":" + base64.b64encode(GOOD).decode(), "entry 1 is not of the form"),
    "halves swapped": (base64.b64encode(GOOD).decode() + ":k1", "entry 1 is not of the form"),
    "url-safe halves swapped": (base64.urlsafe_b64encode(GOOD).decode().rstrip("=") + ":k1", "entry 1"),
    "no base64": ("k1:not/base64!", "entry 1 is not valid base64"),
    "not ascii": ("k1:ééé", "entry 1 is not valid base64"),
    "short": (entry(GOOD[:31]), "entry 1 is 31 bytes long"),
    "long": (entry(GOOD + b"x"), "entry 1 is 33 bytes long"),
    "second bad": (entry(GOOD) + ",k2:AAAA", "entry 2 is 3 bytes long"),
    "trailing comma": (entry(GOOD) + ",", "entry 2 is not of the form"),
    "kid twice": (entry(GOOD) + "," + entry(os.urandom(32)), "names two keys alike"),
    "key twice": (entry(GOOD) + "," + entry(GOOD, "k2"), "one key under two names"),
    "zeros": (entry(bytes(32)), "guessable"),
    "one byte": (entry(b"\xa7" * 32), "guessable"),
    "changeme": (entry(b"changeme" * 4), "guessable"),
    "changeme padded": (entry(b"changeme".ljust(32, b"\0")), "guessable"),
    "a sentence": (entry(b"this-is-a-default-master-key-123"), "guessable"),
    "a phrase ending in a newline": (entry(b"this-is-a-default-master-key-12\n"), "guessable"),
    "counting": (entry(bytes(range(32))), "guessable"),
    "repetition": (entry(GOOD[:16] * 2), "guessable"),
    "few values": (entry(bytes([7, 250, 3, 91, 12, 200, 45, 66, 31, 180, 99] * 3)[:32]), "guessable"),
}
PARSERS = {
    "HEADRACE_MASTER_KEYS": KeyRing.parse,
    "HEADRACE_SEAL_KEYS": SealingKeys.parse,
    "HEADRACE_WEBHOOK_KEYS": SymmetricBox.parse,
}


@pytest.mark.parametrize("setting", PARSERS)
@pytest.mark.parametrize("case", BAD)
def test_a_bad_key_list_is_refused_by_name_and_never_quoted(setting: str, case: str) -> None:
    text, problem = BAD[case]
    with pytest.raises(StartupError, match=problem) as refused:
        PARSERS[setting](text)
    assert refused.value.message.startswith(setting)
    assert "headrace keys generate" in refused.value.hint
    for part in (text or "").replace(",", ":").split(":"):
        if len(part) > 6:
            assert part not in str(refused.value) + refused.value.hint


def test_a_public_key_that_hides_nothing_is_refused() -> None:
    """A point of low order: its shared secret is zero for everybody."""
    low_order = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    with pytest.raises(StartupError, match="HEADRACE_SEAL_KEYS"):
        SealingKeys.parse(entry(low_order))


def test_random_keys_are_never_refused() -> None:
    for number in range(2000):
        KeyRing.parse(generate_key(f"k{number}"))


@pytest.mark.parametrize("kid", ["", "a:b", "a,b", "a b", "x" * 65, "é"])
def test_a_kid_that_would_break_the_list_is_refused(kid: str) -> None:
    with pytest.raises(ValueError, match="name"):
        generate_key(kid)


def test_both_alphabets_with_and_without_padding_and_with_spaces_are_read() -> None:
    material = b"\xfb\xff" + GOOD[2:]
    standard, url_safe = base64.b64encode(material).decode(), base64.urlsafe_b64encode(material).decode()
    spellings = [f" k1:{standard} ", f"k1:{url_safe}", f"k1:{url_safe.rstrip('=')}", f"k1: {standard}\n"]
    assert {KeyRing.parse(text).to_text() for text in spellings} == {f"k1:{standard}"}


def test_the_text_form_is_read_back_in_order() -> None:
    text = ",".join(generate_key(kid) for kid in ("new", "mid", "old"))
    ring = KeyRing.parse(text)
    assert ring.to_text() == text
    assert ring.kids == ("new", "mid", "old")
    assert SealingKeys.parse(ring.public().to_text()).to_text() == ring.public().to_text()
    assert ring.public().current_kid == "new"


def test_no_repr_shows_key_material() -> None:
    ring = KeyRing.parse(generate_key("k1"))
    for thing in (ring, ring.public(), derive_webhook_keys(ring), ring.derive("x")):
        material = ring.derive("x")[0].material
        for shown in (repr(thing), str(thing), f"{thing}"):
            assert "k1" in shown
            assert len(shown) < 60
            assert repr(material)[2:-1] not in shown
    assert not hasattr(ring, "__dict__")
