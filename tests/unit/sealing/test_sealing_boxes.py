import base64
import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.ids import SourceId, UserId
from shared.errors import SealError
from shared.sealing.boxes import Context, SealedBox
from shared.sealing.fingerprints import FingerprintKey, fingerprint
from shared.sealing.keyring import KeyRing, SealingKeys, generate_key
from shared.sealing.symmetric import SymmetricBox, derive_cache_keys, derive_webhook_keys

HERE = Context(UserId(UUID(int=1)), SourceId(UUID(int=2)), ("https://a.example", "https://b.example:8443"))
SECRET = b'{"api_key":"kingfisher"}'


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.parse(generate_key("k1"))


@given(plaintext=st.binary(max_size=300))
def test_what_the_gateway_seals_the_fetcher_opens(plaintext: bytes) -> None:
    ring = KeyRing.parse(generate_key("k1"))
    gateway = SealingKeys.parse(ring.public().to_text())
    box = json.loads(json.dumps(gateway.seal(plaintext, HERE)))
    assert ring.open(box, HERE) == plaintext


def test_the_gateways_object_cannot_open(ring: KeyRing) -> None:
    assert [name for name in dir(SealingKeys) if not name.startswith("_")] == [
        "current_kid",
        "halves",
        "parse",
        "seal",
        "to_text",
    ]
    private = ring.to_text().partition(":")[2]
    assert private not in ring.public().to_text()


def test_two_boxes_of_one_secret_share_nothing(ring: KeyRing) -> None:
    one, two = ring.public().seal(SECRET, HERE), ring.public().seal(SECRET, HERE)
    assert (one["epk"] != two["epk"], one["nonce"] != two["nonce"], one["ct"] != two["ct"]) == (True, True, True)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, user_id=UserId(uuid4())),
        replace(HERE, source_id=SourceId(uuid4())),
        Context(UserId(HERE.source_id), SourceId(HERE.user_id), HERE.origins),
        replace(HERE, origins=("https://a.example",)),
        replace(HERE, origins=(*HERE.origins, "https://c.example")),
        replace(HERE, origins=("https://a.example", "https://b.example:8444")),
        replace(HERE, origins=("https://a.examplehttps://b.example:8443",)),
        replace(HERE, origins=()),
    ],
    ids=["tenant", "source", "swapped", "origin less", "origin more", "other port", "joined", "none"],
)
def test_every_part_of_the_context_binds(ring: KeyRing, elsewhere: Context) -> None:
    box = ring.public().seal(SECRET, HERE)
    with pytest.raises(SealError) as refused:
        ring.open(box, elsewhere)
    assert "Enter the credentials again" in refused.value.hint
    assert refused.value.category == "CONFIG_ERROR"


def test_the_order_of_origins_does_not_matter(ring: KeyRing) -> None:
    box = ring.public().seal(SECRET, HERE)
    assert ring.open(box, replace(HERE, origins=(*reversed(HERE.origins), "https://a.example"))) == SECRET


@pytest.mark.parametrize("part", ["epk", "nonce", "ct"])
def test_each_altered_byte_is_noticed(ring: KeyRing, part: str) -> None:
    box = dict(ring.public().seal(SECRET, HERE))
    raw = base64.b64decode(str(box[part]))
    for position in range(len(raw)):
        altered = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(SealError):
            ring.open({**box, part: base64.b64encode(altered).decode()}, HERE)


@pytest.mark.parametrize("part", ["epk", "nonce", "ct"])
def test_each_altered_character_is_noticed(ring: KeyRing, part: str) -> None:
    """Base64 has several spellings of the same bytes; only one of them is a box."""
    box = dict(ring.public().seal(SECRET, HERE))
    text = str(box[part])
    for position, character in enumerate(text):
        for other in ("A", "B", "=", "\n", "é"):
            if other != character:
                with pytest.raises(SealError):
                    ring.open({**box, part: text[:position] + other + text[position + 1 :]}, HERE)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"kid": "k2"},
        {"kid": 1},
        {"extra": "x"},
        {"epk": ""},
        {"ct": None},
        {"epk": base64.b64encode(b"\0" * 32).decode()},
        {"epk": "AAAA"},
        {"nonce": "AAAA"},
    ],
    ids=str,
)
def test_another_form_is_refused(ring: KeyRing, change: dict[str, object]) -> None:
    box = ring.public().seal(SECRET, HERE)
    with pytest.raises(SealError):
        ring.open({**box, **change}, HERE)


def test_a_missing_part_is_refused(ring: KeyRing) -> None:
    box = ring.public().seal(SECRET, HERE)
    for part in box:
        with pytest.raises(SealError):
            ring.open({name: value for name, value in box.items() if name != part}, HERE)


def test_the_kid_is_bound_to_the_box() -> None:
    """The same key under another name: nobody can relabel boxes to hide which key they need."""
    material = generate_key("k1").partition(":")[2]
    box = KeyRing.parse(f"k1:{material}").public().seal(SECRET, HERE)
    renamed: SealedBox = {**box, "kid": "k2"}
    with pytest.raises(SealError):
        KeyRing.parse(f"k2:{material}").open(renamed, HERE)


def test_after_a_rotation_the_old_opens_and_the_new_seals(ring: KeyRing) -> None:
    before = ring.public().seal(SECRET, HERE)
    rotated = KeyRing.parse(f"{generate_key('k2')},{ring.to_text()}")
    after = rotated.public().seal(SECRET, HERE)
    assert (rotated.open(before, HERE), before["kid"]) == (SECRET, "k1")
    assert (rotated.open(after, HERE), after["kid"], rotated.current_kid) == (SECRET, "k2", "k2")
    with pytest.raises(SealError, match="not in use any more") as refused:
        ring.open(after, HERE)
    assert "HEADRACE_MASTER_KEYS" in refused.value.hint


def test_fingerprints_are_keyed_and_survive_a_rotation(ring: KeyRing) -> None:
    name = fingerprint(b"realm-1", FingerprintKey(ring))
    rotated = KeyRing.parse(f"{generate_key('k2')},{ring.to_text()}")
    assert fingerprint(b"realm-1", FingerprintKey(rotated)) == name
    assert fingerprint(b"realm-2", FingerprintKey(ring)) != name
    assert fingerprint(b"realm-1", FingerprintKey(KeyRing.parse(generate_key("k1")))) != name
    assert len(name) == 32


def test_symmetric_boxes_bind_their_context(ring: KeyRing) -> None:
    keys = derive_cache_keys(ring)
    sealed = keys.seal(b"body", ("cache", "ab"))
    assert keys.open(sealed, ("cache", "ab")) == b"body"
    assert sealed != keys.seal(b"body", ("cache", "ab"))
    for elsewhere in (("cache", "a", "b"), ("cachea", "b"), ("cache",), ()):
        with pytest.raises(SealError):
            keys.open(sealed, elsewhere)


def test_symmetric_boxes_notice_every_altered_byte_and_every_cut(ring: KeyRing) -> None:
    keys = derive_webhook_keys(ring)
    sealed = keys.seal(b"body", ("x",))
    for position in range(len(sealed)):
        altered = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(SealError):
            keys.open(altered, ("x",))
        with pytest.raises(SealError):
            keys.open(sealed[:position], ("x",))


def test_symmetric_boxes_travel_as_text_and_rotate(ring: KeyRing) -> None:
    old = derive_webhook_keys(ring)
    text = old.seal_text(b"whsec", ("source", "1"))
    handed_on = SymmetricBox.parse(old.to_text())
    rotated = derive_webhook_keys(KeyRing.parse(f"{generate_key('k2')},{ring.to_text()}"))
    assert handed_on.open_text(text, ("source", "1")) == rotated.open_text(text, ("source", "1")) == b"whsec"
    with pytest.raises(SealError):
        handed_on.open_text(rotated.seal_text(b"whsec", ()), ())
    with pytest.raises(SealError):
        handed_on.open_text("no base64!", ())


def test_derived_keys_are_for_one_purpose_each(ring: KeyRing) -> None:
    sealed = derive_webhook_keys(ring).seal(b"whsec", ())
    with pytest.raises(SealError):
        derive_cache_keys(ring).open(sealed, ())
    assert len({ring.to_text(), derive_webhook_keys(ring).to_text(), derive_cache_keys(ring).to_text()}) == 3


def test_what_earlier_versions_stored_still_opens() -> None:
    """Stored by version 1. When this fails, every stored credential is lost: raise the version instead."""
    ring = KeyRing.parse("k1:jx0Kd8LpWzRg/hLZpMgLbznnUSy9RgjzoV6cJ9BrhPI=")
    box = {
        "v": 1,
        "kid": "k1",
        "epk": "wNVffCgsu0PyXm765bCGDRNwrm17vx6GxJLrS4rLtl4=",
        "nonce": "LSazgy9JG/voNLtm",
        "ct": "fki/CPqEg1kHy3MO/jY/rR86k/6arJ13A9I=",
    }
    webhook = "AQJrMXk4pFdGKWhfrFuHKRrvEdJ8F++fwZ6OW81zW1NURxBqU9g8+EqxBktkSyB+BwTpaS0="
    cached = "AQJrMR2IFFKnrNOQ4PGUZbraICXkWew9VZ8g3EqjFrtN4To28EaltWjO/Y879/AyYUrQdQ=="
    assert ring.open(box, HERE) == b"kingfisher"
    assert ring.public().to_text() == "k1:vn0PDg2n8LAsEPq/AghSH8xWbRosqSM1hxvQYKvfmzw="
    assert derive_webhook_keys(ring).open_text(webhook, ("source", "1")) == b"whsec"
    assert derive_cache_keys(ring).open_text(cached, ("c",)) == b"body"
    assert fingerprint(b"realm-1", FingerprintKey(ring)) == "f4ea95175ab4d12505eaa033033d0b02"
