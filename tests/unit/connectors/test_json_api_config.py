"""What a json_api configuration may say, and what the spec makes of it."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from shared.connectors.json_api.config import JsonApiConfig
from shared.connectors.json_api.since import check_format, write_since
from shared.connectors.json_api.spec import SPEC
from shared.contracts.mapping import FieldRule

CANARY = "s3cr3t-canary"
MINIMAL: dict[str, Any] = {"url": "https://a.example/items", "id_path": "id"}


def config(**more: Any) -> dict[str, Any]:
    return {"entities": {"inventory": MINIMAL | more}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"url": "http://a.example:8080/items?type=a&keyword=b", "method": "POST"},
        {"headers": {"Accept-Language": "de"}, "params": {"limit": 5, "active": True, "x": "y", "d": Decimal("1.5")}},
        {"records_path": "data.items[?active]", "filter": "type != 'kit'", "updated_at_path": "meta.changed"},
        {"by_id_url": "https://a.example/items/{id}?full=1"},
        {"updated_since_param": "since", "updated_since_format": "unix"},
        {"pagination": {"type": "none"}},
        {"pagination": {"type": "page", "page_param": "page"}},
        {"pagination": {"type": "page", "page_param": "p", "size_param": "s", "page_size": 9, "start": 0}},
        {"pagination": {"type": "offset", "offset_param": "o", "limit_param": "l", "page_size": 9}},
        {"pagination": {"type": "cursor", "cursor_param": "page_token", "cursor_path": "meta.next"}},
        {"pagination": {"type": "link"}},
        {"pagination": {"type": "link", "next_path": "links.next"}},
    ],
)
def test_good_configurations(more: dict[str, Any]) -> None:
    validated = SPEC.config.validate_python(config(**more))
    assert SPEC.config.validate_json(validated.model_dump_json()) == validated


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"entities": {}}, "at least 1"),
        ({"entities": {"orders": MINIMAL}}, "inventory"),
        (config(extra=1), "extra"),
        ({"entities": {"inventory": {"url": "https://a.example"}}}, "id_path"),
        (config(url="ftp://a.example"), "https://"),
        (config(url=f"https://u:{CANARY}@a.example/"), "credentials"),
        (config(url=f"https://a.example/?api_key={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/?a=1&X-Amz-Signature={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/?%61pi_key={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/?auth[token]={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/#access_token={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/a;token={CANARY}/b?c=1"), "put it into the credentials"),
        (config(headers={"Authorization": CANARY}), "put it into the credentials"),
        (config(headers={"Cookie": CANARY}), "put it into the credentials"),
        (config(headers={"X-Api-Key": CANARY}), "put it into the credentials"),
        (config(headers={"Host": CANARY}), "writes itself"),
        (config(headers={"X-Y": "a\r\nb"}), "control character"),
        (config(params={"access_token": CANARY}), "put it into the credentials"),
        (config(params={"nested": {"a": CANARY}}), "params"),
        (config(id_path="a.["), "id_path"),
        (config(filter="a =="), "filter"),
        (config(method="DELETE"), "GET"),
        (config(by_id_url="https://a.example/items"), "{id}"),
        (config(by_id_url="https://{id}.example/items"), "path or the query"),
        (config(by_id_url=f"https://a.example/{{id}}?token={CANARY}"), "put it into the credentials"),
        (config(updated_since_format="yesterday"), "token"),
        (config(pagination={"type": "magic"}), "magic"),
        (config(pagination={"type": "page"}), "page_param"),
        (config(pagination={"type": "page", "page_param": "p", "size_param": "s"}), "page_size"),
        (config(pagination={"type": "offset", "offset_param": "o", "limit_param": "l", "page_size": 0}), "page_size"),
        (config(pagination={"type": "cursor", "cursor_param": "c", "cursor_path": "a.."}), "cursor_path"),
        (config(pagination={"type": "none", "page_size": 1}), "page_size"),
    ],
)
def test_wrong_configurations_say_what_is_wrong_and_quote_nothing(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SPEC.config.validate_python(wrong)
    assert says in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_spec_answers_from_a_configuration() -> None:
    full = {
        "entities": {
            "vendors": MINIMAL | {"url": "https://b.example:8443/v"},
            "inventory": MINIMAL
            | {
                "filter": "active",
                "updated_at_path": "changed",
                "updated_since_param": "since",
                "by_id_url": "https://c.example/{id}",
            },
        }
    }
    rules = {"inventory": {"sku": FieldRule(path="code")}}

    for given in (full, JsonApiConfig.model_validate(full)):
        assert SPEC.entities(given) == ("inventory", "vendors")  # type: ignore[arg-type] # a model is taken as well
        assert SPEC.origins(given) == (  # type: ignore[arg-type] # as above
            "https://a.example:443",
            "https://b.example:8443",
            "https://c.example:443",
        )
    assert SPEC.account(full, "f1") != SPEC.account(full, "f2")
    assert SPEC.account(config(), "f1") == "https://a.example:443|f1"
    assert SPEC.supports_incremental(full, "inventory")
    assert not SPEC.supports_incremental(full, "vendors")

    mapping = SPEC.mapping(full, "inventory", rules)  # type: ignore[arg-type] # its keys are entities
    assert (mapping.id_path, mapping.filter, mapping.updated_at_path) == ("id", "active", "changed")
    assert mapping.fields == rules["inventory"]
    assert SPEC.mapping(full, "vendors", rules).fields is None  # type: ignore[arg-type] # as above


def test_the_catalogue_gets_its_schemas() -> None:
    assert "entities" in SPEC.config.json_schema()["properties"]
    assert "discriminator" in SPEC.credentials.json_schema()
    assert "default" in SPEC.rate_limits


MOMENT = datetime(2026, 1, 2, 4, 5, 6, 789_000, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("YYYY-MM-DDTHH:MM:SSZ", "2026-01-02T03:05:06Z"),
        ("YYYY-MM-DDTHH:mm:ssZ", "2026-01-02T03:05:06Z"),
        ("YYYYMMDDTHHMMSSZ", "20260102T030506Z"),
        ("YYYY-MM-DD", "2026-01-02"),
        ("DD/MM/YYYY HH:mm", "02/01/2026 03:05"),
        ("%d.%m.%Y %H:%M", "02.01.2026 03:05"),
        ("unix", "1767323106"),
        ("unix_ms", "1767323106000"),
    ],
)
def test_points_in_time_are_written_in_utc_and_never_later(pattern: str, text: str) -> None:
    assert write_since(MOMENT, check_format(pattern)) == text


def test_early_years_keep_four_digits() -> None:
    assert write_since(datetime(987, 1, 2, tzinfo=UTC), "YYYY") == "0987"


@pytest.mark.parametrize("pattern", ["", "now", "YYYY-MON-DD", "::", "HH o'clock"])
def test_unknown_formats_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="token"):
        check_format(pattern)
