"""Each rule catches the defect that it is there for: planted one by one in the example connector."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from sample import Defect, kit_of_sample

SOURCE, CONFIG, SPEC, MAPPING = "source.py", "config.py", "spec.py", "mapping.py"
SEND = '        response = await self._client.send(Request("GET", f"{self._config.base_url}/items", params=params))\n'
FOLLOWING = "_PAGING.following(cursor, answer)"

RETRYING = """
        for attempt in range(3):
            try:
                response = await self._client.send(Request("GET", f"{self._config.base_url}/items", params=params))
                break
            except Exception:
                if attempt == 2:
                    raise
"""
ENDING_EARLY = """
        from shared.connector_sdk.public import HeadraceError
        try:
            response = await self._client.send(Request("GET", f"{self._config.base_url}/items", params=params))
        except HeadraceError:
            if cursor is None:
                raise
            return Page([], None, 0)
"""
SWALLOWING = """
        try:
            response = await self._client.send(Request("GET", f"{self._config.base_url}/items", params=params))
        except BaseException:
            from shared.connector_sdk.public import UnavailableError
            raise UnavailableError("something went wrong") from None
"""
CALLING_ITSELF = """
        import aiohttp
        async with aiohttp.ClientSession(headers={"X-Shop-Key": "good-key-of-the-sample"}) as own:
            await (await own.get(f"{self._config.base_url}/items")).read()
"""
SHOWING = """
            from shared.connector_sdk.public import AuthenticationError
            raise AuthenticationError("the shop refused wrong-key-of-the-sample")
"""
OFFSETS = """
from shared.connector_sdk.public import NumberedPaging
_PAGING = NumberedPaging("skip", None, 8, start=0, by_offset=True)
"""
REMEMBERING = """
        cursor = _SEEN.pop() if len(_SEEN) > 9 else cursor
        _SEEN.append(cursor)
        params = (*_PAGING"""
LINES = """                for line in lines:
                    yield _record(line)
"""
LAST_LINE = "        if rest:\n"
HELD_LINES = "        for line in held:\n            yield _record(line)\n"
CURSORS = '_PAGING = CursorPaging("after", lambda body: body.get("next"))\n'
ELSEWHERE = 'return ("https://shop.example",)'


class Planted(NamedTuple):
    """A defect, the rule that must fail, and a part of what it must say: for this reason and no other."""

    rule: str
    says: str
    edits: tuple[Defect, ...]


def _plant(rule: str, says: str, *edits: Defect) -> Planted:
    return Planted(rule, says, edits)


DEFECTS: Mapping[str, Planted] = {
    "a limit that limits nothing": _plant(
        "spec_declared", "limits nothing", (SPEC, "RateLimit(per_minute=120, concurrency=2)", "RateLimit()")
    ),
    "an origin with a path": _plant(
        "spec_declared", "origins", (SPEC, "return (origin(", 'return ("https://shop.example/a", origin(')
    ),
    "an example that does not fit": _plant("schemas_valid", "at $.page_size", (CONFIG, "le=500", "le=5")),
    "unknown keys are ignored": _plant(
        "unknown_keys_refused",
        "config: an unknown key",
        (CONFIG, "    base_url: Url\n", '    model_config = {"extra": "ignore"}\n    base_url: Url\n'),
    ),
    "any text is an address": _plant(
        "secret_names_refused", "config.base_url", (CONFIG, "base_url: Url", "base_url: str")
    ),
    "the mapping misses the required field": _plant(
        "records_map", "300 of 300", (MAPPING, '"name": FieldRule(path="name")', '"name": FieldRule(path="nom")')
    ),
    "the mapping fills an unknown field": _plant(
        "records_map", "contact_mail", (MAPPING, '"contact_email"', '"contact_mail"')
    ),
    "the mapping does not compile": _plant(
        "records_map", "not complete", (MAPPING, '"stock.on_hand"', '"stock.[on_hand"')
    ),
    "check looks at nothing": _plant(
        "access_checked", "saw 0", (SOURCE, "        seen = 0\n", "        return 0\n        seen = 0\n")
    ),
    "the last record of a page is lost": _plant(
        "whole_read",
        "7 records were not read",
        (SOURCE, "return Page(records, ", "return Page(records[: self._config.page_size - 1], "),
    ),
    "numbers become floats": _plant(
        "whole_read",
        "field 'price'",
        (SOURCE, "return Page(records, ", 'return Page([r | {"price": float(r["price"])} for r in records], '),
    ),
    "the read never ends": _plant("whole_read", "has not ended", (SOURCE, FOLLOWING, "cursor or " + FOLLOWING)),
    "the key is somewhere else": _plant("key_fields", "no external id", (MAPPING, 'id_path="id"', 'id_path="sku"')),
    "the source remembers where it was": _plant(
        "resume_anywhere",
        "holds other records",
        (SOURCE, "        params = (*_PAGING", REMEMBERING),
        (SOURCE, CURSORS, CURSORS + "_SEEN: list[Cursor] = []\n"),
    ),
    "offsets that claim to be stable": _plant("stable_paging", "lost living records", (SOURCE, CURSORS, OFFSETS)),
    "circles pass": _plant(
        "loop_caught",
        "passes for a whole read",
        (SOURCE, FOLLOWING, 'None if str(body.get("next")) in str(cursor) else ' + FOLLOWING),
    ),
    "since is not asked for": _plant(
        "incremental_read", "a read of everything", (SOURCE, "if request.since is not None:", "if False:")
    ),
    "the file is held in memory": _plant(
        "spool_streams",
        "held in memory",
        (SOURCE, '        rest = b""\n', '        held, rest = [], b""\n'),
        (SOURCE, LINES, "                held += lines\n"),
        (SOURCE, LAST_LINE, HELD_LINES + LAST_LINE),
    ),
    "pieces are taken for lines": _plant(
        "spool_streams", "gives other records", (SOURCE, "(rest + chunk).split", "chunk.split")
    ),
    "a refused key is shown": _plant(
        "secrets_hidden",
        "in: an error",
        (SOURCE, SEND, f"        try:\n    {SEND}        except Exception:{SHOWING}"),
    ),
    "a key that repr shows": _plant(
        "secrets_hidden",
        "repr of the credentials",
        (CONFIG, "    key: Secret\n", "    key: str\n"),
        (CONFIG, "self.key.get_secret_value()", "self.key"),
    ),
    "a key in the log": _plant(
        "secrets_hidden",
        "printed or logged",
        (CONFIG, "        return Secrets(", "        print(self.key.get_secret_value())\n        return Secrets("),
    ),
    "401 is tried again": _plant("bad_keys_refused", "3 requests arrived", (SOURCE, SEND, RETRYING)),
    "429 is tried again": _plant("rate_limit_told", "3 requests arrived", (SOURCE, SEND, RETRYING)),
    "5xx is tried again": _plant("vendor_faults_retried", "3 requests arrived", (SOURCE, SEND, RETRYING)),
    "a fault ends the read": _plant("vendor_faults_retried", "on call 2 passes", (SOURCE, SEND, ENDING_EARLY)),
    "a cut page ends the read": _plant("cut_body_refused", "on call 2 passes", (SOURCE, SEND, ENDING_EARLY)),
    "a login page ends the read": _plant("web_page_refused", "on call 2 passes", (SOURCE, SEND, ENDING_EARLY)),
    "an empty page ends the read": _plant("empty_body_refused", "on call 2 passes", (SOURCE, SEND, ENDING_EARLY)),
    "a call of its own": _plant(
        "calls_paid", "18 requests arrived, 9 were paid for", (SOURCE, SEND, CALLING_ITSELF + SEND)
    ),
    "more calls than reserved": _plant("calls_paid", "1 reserved", (SOURCE, SEND, SEND + SEND)),
    "an origin that was not declared": _plant(
        "origins_declared",
        "does not name",
        (SPEC, "return (origin(parse_url(SampleConfig.model_validate(config).base_url)),)", ELSEWHERE),
    ),
    "a cancelled read is a fault": _plant("cancel_closes", "swallowed", (SOURCE, SEND, SWALLOWING)),
    "a stream that nobody closes": _plant(
        "cancel_closes",
        "left early",
        (
            SOURCE,
            "async with aclosing(self._client.stream(call)) as chunks:",
            "if chunks := self._client.stream(call):",
        ),
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_planted_defect_fails_its_rule(defect: str, tmp_path: Path) -> None:
    planted = DEFECTS[defect]

    with kit_of_sample(tmp_path, planted.edits, f"planted_{list(DEFECTS).index(defect)}") as kit:
        result = await kit.check(planted.rule)

    assert result.outcome == "failed"
    assert planted.says in result.detail


def test_every_rule_has_a_defect(tmp_path: Path) -> None:
    """A rule that nothing can break is no rule."""
    with kit_of_sample(tmp_path, (), "planted_none") as kit:
        assert {planted.rule for planted in DEFECTS.values()} == set(kit.rules)
