"""Credential forms: what they accept, add to a call, and never show."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.connector_sdk.credentials import (
    CsvApiCredentials,
    JsonApiCredentials,
    Secrets,
    apply,
    credentials_adapter,
    credentials_set,
)
from shared.connector_sdk.secret_names import carries_secret

JSON = credentials_adapter(JsonApiCredentials)
CSV = credentials_adapter(CsvApiCredentials)
CANARY = "s3cr3t-canary"


@pytest.mark.parametrize(
    ("given", "headers", "params"),
    [
        ({"type": "none"}, {}, {}),
        ({"type": "bearer", "token": CANARY}, {"Authorization": f"Bearer {CANARY}"}, {}),
        ({"type": "basic", "username": "ä", "password": ""}, {"Authorization": "Basic w6Q6"}, {}),
        ({"type": "api_key", "header": "X-Key", "value": CANARY}, {"X-Key": CANARY}, {}),
        ({"type": "api_key", "query": "k", "value": CANARY}, {}, {"k": CANARY}),
        ({"type": "headers", "headers": {"A": CANARY, "B": "b"}}, {"A": CANARY, "B": "b"}, {}),
        ({"type": "query", "params": {"a": CANARY}}, {}, {"a": CANARY}),
    ],
)
def test_each_form_is_applied_and_never_shown(
    given: dict[str, Any], headers: dict[str, str], params: dict[str, str]
) -> None:
    credentials = CSV.validate_python(given)

    assert apply(credentials) == Secrets(headers, params)
    assert CANARY not in f"{credentials!r} {apply(credentials)!r} {credentials.model_dump_json()}"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"type": "oauth"},
        {"type": "none", "token": CANARY},
        {"type": "bearer"},
        {"type": "bearer", "token": ""},
        {"type": "bearer", "token": CANARY + "\r\nX: y"},
        {"type": "bearer", "token": CANARY, "extra": 1},
        {"type": "basic", "username": "a:b", "password": CANARY},
        {"type": "api_key", "value": CANARY},
        {"type": "api_key", "header": "a", "query": "b", "value": CANARY},
        {"type": "api_key", "header": "a b", "value": CANARY},
        {"type": "api_key", "header": "Host", "value": CANARY},
        {"type": "api_key", "header": "Content-Length", "value": CANARY},
        {"type": "headers", "headers": {"A": CANARY}},
    ],
)
def test_wrong_forms_are_refused_without_quoting_them(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        JSON.validate_python(wrong)
    assert CANARY not in str(caught.value)


def test_names_of_what_is_set_leave_the_place_of_a_key_out() -> None:
    assert credentials_set({"type": "basic", "username": "a", "password": "b"}) == ["password", "username"]
    assert credentials_set({"type": "api_key", "header": "X", "value": "v"}) == ["value"]
    assert credentials_set({"api_key": "a", "api_secret": "b", "empty": "", "none": None}) == ["api_key", "api_secret"]
    assert credentials_set({"type": "none"}) == []


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "api_key", "apikey", "APIKEY", "accessToken",
        "access_token", "X-Auth-Token", "auth", "key", "Key", "subscription-key", "client_secret", "password", "PWD",
        "sig", "signature", "X-Amz-Signature", "session_id", "JWT", "X-APIToken", "jsessionid",
        "PHPSESSID", "oauth_nonce",
    ],
)  # fmt: skip
def test_names_that_carry_secrets(name: str) -> None:
    assert carries_secret(name)


@pytest.mark.parametrize(
    "name", ["keyword", "monkey", "currency", "Accept", "page", "design", "passenger", "author", "limit", "X-Tenant"]
)
def test_names_that_do_not(name: str) -> None:
    assert not carries_secret(name)
