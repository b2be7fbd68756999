import base64
import json
import time
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

import pytest

from shared.observability.redaction import Redactor
from shared.observability.secrets import MASK, SecretRegistry

CANARY = 'kf+Zq/9~w"Ü 7t'
"""A secret that every encoding spells differently."""


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(SecretRegistry())


def guarded(text: str, *secrets: str | bytes) -> str:
    registry = SecretRegistry()
    with registry.guarding(secrets):
        return Redactor(registry).text(text)


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f"before {CANARY} after {CANARY}",
        quote(CANARY, safe=""),
        quote(CANARY),
        json.dumps({"x": CANARY}),
        json.dumps({"x": CANARY}, ensure_ascii=False),
        repr(CANARY),
        repr(CANARY.encode()),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        CANARY.encode().hex(),
    ],
)
def test_a_known_secret_is_masked_in_every_spelling(text: str) -> None:
    assert guarded(text) == text, "no pattern matches: the registry alone knows this secret"
    masked = guarded(text, CANARY)
    assert MASK in masked
    assert "Zq" not in masked
    assert base64.b64encode(CANARY.encode()).decode()[4:12] not in masked


@pytest.mark.parametrize("user", ["", "a", "ab", "abc", "abcd"])
def test_a_known_secret_is_masked_inside_other_base64(user: str) -> None:
    blob = base64.b64encode(f"{user}:Tr0ub4dor-Kingfisher:tail".encode()).decode()
    masked = guarded(f"sent {blob}", "Tr0ub4dor-Kingfisher")
    left = masked.replace("sent ", "").split(MASK)
    assert len(left) == 2
    assert all(len(part) <= len(blob) - 24 for part in left)


def test_secrets_are_guarded_while_the_context_lasts_however_often() -> None:
    registry = SecretRegistry()
    with registry.guarding(["kingfisher"]):
        with registry.guarding(["kingfisher", b"bytes-too"]):
            assert registry.redact("kingfisher bytes-too") == f"{MASK} {MASK}"
        assert registry.redact("kingfisher bytes-too") == f"{MASK} bytes-too"
    assert registry.redact("kingfisher") == "kingfisher"
    assert len(registry) == 0


def test_a_context_left_by_an_error_guards_no_longer() -> None:
    registry = SecretRegistry()
    with pytest.raises(RuntimeError), registry.guarding(["kingfisher"]):
        raise RuntimeError
    assert len(registry) == 0


def test_the_registry_is_bounded_and_forgets_the_oldest_but_never_the_permanent() -> None:
    registry = SecretRegistry(limit=3)
    registry.add("permanent-one", "permanent-two")
    with registry.guarding([f"secret-{number}" for number in range(5)]):
        assert len(registry) == 5
        assert registry.redact("secret-1") == "secret-1"
        assert registry.redact("secret-2 secret-4 permanent-one") == f"{MASK} {MASK} {MASK}"
    assert len(registry) == 2
    assert registry.redact("permanent-two") == MASK


def test_short_values_are_not_looked_for_and_long_ones_win() -> None:
    assert guarded("abc abcd abcdef", "abc", "abcd", "abcdef") == f"abc {MASK} {MASK}"


def test_neither_registry_nor_redactor_shows_its_secrets() -> None:
    registry = SecretRegistry()
    registry.add("kingfisher")
    assert "kingfisher" not in f"{registry!r} {Redactor(registry)!r}"


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "password",
        "db_passwd",
        "client_secret",
        "token",
        "accessToken",
        "refresh_token",
        "api_key",
        "X-API-Key",
        "apikey",
        "apiKey",
        "credentials",
        "master_keys",
        "pwd",
    ],
)
@pytest.mark.parametrize("value", ["kingfisher", b"kingfisher", ["kingfisher"], {"a": "kingfisher"}, 20260101])
def test_what_stands_under_a_secret_name_is_masked(redactor: Redactor, name: str, value: object) -> None:
    pair_list = [(name, value), ("accept", "text/csv")]
    event = {name: value, "deep": [{"er": ({name: value},)}], "pairs": pair_list}
    masked = redactor.mapping(event)
    assert "kingfisher" not in str(masked)
    assert "20260101" not in str(masked)
    assert masked[name] == MASK
    assert "text/csv" in str(masked)


@pytest.mark.parametrize(
    "text",
    [
        "Bearer kingfisher",
        "got bearer  kingfisher.x-y_z",
        "Basic kingfisher==",
        "Authorization: kingfisher",
        "cookie: a=1; session=kingfisher",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJraW5nZmlzaGVyIn0.kingfisher-sig",
        "eyJhbGciOiJIUzI1NiJ9.kingfisher",
        "amqp://guest:kingfisher@127.0.0.1:5672/",
        "postgresql://kingfisher@host/db",
        "https://u:p@kingfisher@host/path",
        "GET https://h/p?limit=5&api_key=kingfisher&x=1",
        "https://h/?key=kingfisher",
        "/oauth/callback?code=kingfisher&state=kingfisher",
        "/p?access_token=kingfisher#frag",
        "host=h password=kingfisher user=u",
        "connect(password='king kingfisher')",
        '{"client_secret": "king\\"kingfisher"}',
        "{'refresh_token': 'kingfisher'}",
        "[('Authorization', 'kingfisher')]",
        "(b'x-api-key', b'kingfisher')",
        '"{\\"token\\": \\"kingfisher\\"}"',
        "Credentials(api_key='kingfisher', account='acme')",
    ],
)
def test_secret_looking_text_is_masked_without_being_known(redactor: Redactor, text: str) -> None:
    assert "kingfisher" not in redactor.text(text)
    assert MASK in redactor.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET https://h.example:8443/p?limit=5&offset=10",
        "page 3 of inventory fetched in 0.12 s",
        "HEADRACE_MASTER_KEYS is missing",
        "user@example.com wrote",
        "the token was refused",
        "connector:json_api:5b8f:GET:ab12",
    ],
)
def test_innocent_text_stays_as_it_is(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


@dataclass
class Holder:
    api_key: str
    note: str


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("kingfisher")


def test_objects_become_masked_text_and_plain_values_stay() -> None:
    registry = SecretRegistry()
    registry.add("kingfisher", "31415926")
    event = {
        "holder": Holder("halcyon", "kingfisher"),
        "error": ValueError("kingfisher"),
        "broken": Unprintable(),
        "id": UUID(int=5),
        "count": 7,
        "pin": 31415926,
        "ok": True,
        "none": None,
        "token": None,
        "kingfisher": {"kingfisher": {"kingfisher"}},
        "raw": b"\xffkingfisher",
    }
    masked = Redactor(registry).mapping(event)
    assert "kingfisher" not in str(masked)
    assert "halcyon" not in str(masked)
    assert "31415926" not in str(masked)
    assert (masked["id"], masked["count"], masked["ok"]) == (str(UUID(int=5)), 7, True)
    assert (masked["none"], masked["token"], masked["broken"]) == (None, None, "<Unprintable>")
    json.dumps(masked)


def test_depth_width_and_length_are_bounded(redactor: Redactor) -> None:
    loop: list[object] = []
    loop.extend([loop, "x", 1])
    masked = redactor.mapping({"loop": loop, "wide": list(range(10_000)), "long": "x" * 100_000})
    assert len(json.dumps(masked)) < 40_000


def test_a_secret_across_the_cut_leaves_no_half() -> None:
    text = guarded("x" * 32_760 + "kingfisher-and-more", "kingfisher-and-more")
    assert "king" not in text


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "://",
        "-eyJ",
        "eyJaaaaaa.",
        "token",
        "token ",
        "password='",
        'token\\"',
        "authorization:",
        "?key=",
        "bearer ",
        '"token": "\\\\',
    ],
)
def test_hostile_lines_cost_linear_time(redactor: Redactor, unit: str) -> None:
    line = unit * (300_000 // len(unit))
    started = time.perf_counter()
    redactor.text(line)
    assert time.perf_counter() - started < 5
