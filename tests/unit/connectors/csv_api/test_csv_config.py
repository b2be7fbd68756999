"""What a csv_api configuration may say, and what the spec makes of it."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.connectors.csv_api.spec import SPEC
from shared.contracts.mapping import FieldRule

CANARY = "s3cr3t-canary"
MINIMAL: dict[str, Any] = {"url": "https://a.example/items.csv", "id_column": "sku"}


def config(**more: Any) -> dict[str, Any]:
    return {"entities": {"inventory": MINIMAL | more}}


@pytest.mark.parametrize(
    ("more", "becomes"),
    [
        ({}, {"delimiter": ",", "quotechar": '"', "encoding": None, "null_values": ("", "--"), "skip_rows": 0}),
        ({"delimiter": "\\t"}, {"delimiter": "\t"}),
        ({"delimiter": ";", "decimal": ",", "thousands": "."}, {"decimal": ",", "thousands": "."}),
        ({"quotechar": ""}, {"quotechar": ""}),
        ({"encoding": "Windows-1252"}, {}),
        ({"columns": ["sku", "name"], "skip_rows": 2}, {"columns": ("sku", "name")}),
        ({"null_values": []}, {"null_values": ()}),
        ({"filter": "stock != '0'", "id_column": "Item no. (EAN)"}, {}),
    ],
)
def test_good_configurations(more: dict[str, Any], becomes: dict[str, Any]) -> None:
    validated = SPEC.config.validate_python(config(**more))
    assert SPEC.config.validate_json(validated.model_dump_json()) == validated
    entity = validated.entities["inventory"].model_dump()
    assert {name: entity[name] for name in becomes} == becomes


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"entities": {}}, "at least 1"),
        ({"entities": {"inventory": {"url": "https://a.example"}}}, "id_column"),
        (config(extra=1), "extra"),
        (config(url=f"https://a.example/?api_key={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/?a=1&X-Amz-Signature={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/?%61pi_key={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/?auth[token]={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/#access_token={CANARY}"), "put it into the credentials"),
        (config(url=f"https://a.example/a;token={CANARY}/b?c=1"), "put it into the credentials"),
        (config(url=f"https://u:{CANARY}@a.example/"), "credentials"),
        (config(delimiter="::"), "at most 1"),
        (config(delimiter="\n"), "line end"),
        (config(delimiter=""), "at least 1"),
        (config(delimiter='"'), "the same"),
        (config(quotechar="''"), "at most 1"),
        (config(encoding="klingon"), "encoding"),
        (config(encoding="base64"), "encoding"),
        (config(encoding="unicode_escape"), "encoding"),
        (config(decimal=",", thousands=","), "the same"),
        (config(decimal=";"), "decimal"),
        (config(skip_rows=-1), "skip_rows"),
        (config(columns=["name"]), "id_column"),
        (config(columns=["sku", "sku"]), "twice"),
        (config(columns=[]), "columns"),
        (config(filter="a =="), "filter"),
        (config(id_column=""), "id_column"),
    ],
)
def test_wrong_configurations_say_what_is_wrong_and_quote_nothing(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SPEC.config.validate_python(wrong)
    assert says in str(caught.value)
    assert CANARY not in str(caught.value)


def test_what_the_spec_makes_of_it() -> None:
    two: dict[str, Any] = {
        "entities": {
            "vendors": {"url": "https://b.example:8443/v.csv", "id_column": "id"},
            "inventory": MINIMAL | {"decimal": ",", "thousands": " ", "filter": "stock != '0'"},
        }
    }
    assert SPEC.entities(two) == ("inventory", "vendors")
    assert SPEC.origins(two) == ("https://a.example:443", "https://b.example:8443")
    assert SPEC.account(two, "f1") != SPEC.account(two, "f2")
    assert SPEC.account(config(), "f1") != SPEC.account(two, "f1")
    assert not SPEC.supports_incremental(two, "inventory")
    limit = SPEC.rate_limits["default"]
    assert (limit.per_second, limit.per_minute, limit.per_hour, limit.concurrency) == (None, None, None, 4)

    mapping = SPEC.mapping(two, "inventory", {"inventory": {"name": FieldRule(path="title")}})
    assert (mapping.id_path, mapping.decimal, mapping.thousands) == ("sku", ",", " ")
    assert mapping.filter == "stock != '0'"
    assert mapping.fields == {"name": FieldRule(path="title")}
    assert SPEC.mapping(two, "vendors", {}).fields is None


@pytest.mark.parametrize(
    "credentials",
    [
        {"type": "none"},
        {"type": "bearer", "token": "t"},
        {"type": "basic", "username": "u", "password": "p"},
        {"type": "api_key", "header": "X-Key", "value": "v"},
        {"type": "headers", "headers": {"X-Key": "k", "X-Shop": "s"}},
        {"type": "query", "params": {"key": "k", "shop": "s"}},
    ],
)
def test_every_form_of_credentials(credentials: dict[str, Any]) -> None:
    SPEC.credentials.validate_python(credentials)
