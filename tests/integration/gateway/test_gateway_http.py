"""What holds for every route: who may call, how errors look, what is bounded."""

import logging
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
import structlog
from gateway_harness import Gateway, User, token

from services.gateway.paging import encode_cursor
from shared.clock import SystemClock
from shared.observability.logging import configure
from shared.observability.secrets import SecretRegistry

ROUTES = [
    ("GET", "/api/connectors"),
    ("POST", "/api/connectors/test"),
    ("GET", "/api/sources"),
    ("POST", "/api/sources"),
    ("DELETE", f"/api/sources/{uuid4()}"),
    ("POST", "/api/external/sync"),
    ("GET", "/api/runs"),
    ("GET", f"/api/runs/{uuid4()}/events"),
    ("GET", "/api/inventory"),
    ("GET", "/api/no-such-route"),
]


async def test_nothing_below_api_answers_without_a_token(gateway: Gateway) -> None:
    for method, path in ROUTES:
        answer = await gateway.call(method, path)
        assert answer.status == 401, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.body["category"] == "AUTH_FAILED"
        assert answer.body["hint"]


WRONG_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"exp": int(time.time()) - 60}, "expired"),
    ({"exp": None}, "`exp`"),
    ({"aud": "somebody-else"}, "audience"),
    ({"aud": None}, "`aud`"),
    ({"role": "service_role"}, "role"),
    ({"role": "anon"}, "role"),
    ({"role": None}, "role"),
    ({"sub": "not-a-uuid"}, "subject"),
    ({"sub": None}, "`sub`"),
    ({"algorithm": "none"}, "algorithm"),
    ({"algorithm": "HS512"}, "algorithm"),
    ({"secret": "another secret, as long as HS256 wants its secrets"}, "not valid"),
    ({"app_metadata": {"padding": "x" * 9000}}, "too long"),
]


async def test_a_token_that_proves_nothing_is_refused(gateway: Gateway) -> None:
    for claims, reason in WRONG_CLAIMS:
        headers = {"Authorization": f"Bearer {token(uuid4(), **claims)}"}
        answer = await gateway.call("GET", "/api/sources", None, headers)
        assert (answer.status, answer.body["status"]) == (401, 401), claims
        assert reason in answer.body["detail"]
    for header in ("", "Bearer", "Basic abc", "Bearer a.b.c", token(uuid4())):
        answer = await gateway.call("GET", "/api/sources", None, {"Authorization": header})
        assert answer.status == 401, header


async def test_a_little_clock_skew_is_forgiven(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {token(uuid4(), exp=int(time.time()) - 5)}"}
    assert (await gateway.call("GET", "/api/sources", None, headers)).status == 200


async def test_unknown_addresses_and_methods_are_problems(user: User) -> None:
    for method, path, status in [
        ("GET", "/nothing", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/sources/", 404),
        ("PUT", "/api/sources", 405),
        ("DELETE", "/healthz", 405),
    ]:
        answer = await user.call(method, path)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), path
        assert {"type", "title", "status", "detail", "category", "hint"} <= answer.body.keys()


async def test_a_405_names_every_method_of_the_address(user: User) -> None:
    for path, allowed in [
        ("/api/sources", "GET, POST"),
        (f"/api/sources/{uuid4()}", "GET, PATCH, DELETE"),
        ("/api/session", "GET, POST, DELETE"),
        (f"/webhooks/{uuid4()}", "POST"),
        ("/healthz", "GET"),
    ]:
        answer = await user.call("PUT", path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed), path
        assert allowed in answer.body["hint"]


async def test_head_is_get_without_the_body(gateway: Gateway, user: User) -> None:
    await user.add_source()
    for path in ("/api/sources", "/api/sources?limit=0", f"/api/runs/{uuid4()}", "/healthz", "/readyz", "/"):
        head, get = await user.call("HEAD", path), await user.get(path)
        assert (head.status, head.headers.get("content-length"), head.text) == (
            get.status, get.headers.get("content-length"), "",
        ), path  # fmt: skip
    assert (await gateway.call("HEAD", "/api/sources")).status == 401
    # Not where a GET spends something, or never ends.
    for path in ("/?code=x", "/oauth/quickbooks/callback?state=x", f"/api/runs/{uuid4()}/events"):
        assert (await user.call("HEAD", path)).status == 405, path


async def test_a_body_that_is_not_said_to_be_json_is_refused_as_such(user: User) -> None:
    body = b'{"name": "x"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        for path in ("/api/tokens", "/api/external/sync"):
            answer = await user.post(path, body, Content_Type=kind)
            assert (answer.status, answer.body["type"]) == (415, "urn:headrace:problem:unsupported-media-type"), kind
            assert "application/json" in answer.body["hint"]
    compressed = await user.post("/api/tokens", b"\x1f\x8b\x08\x00", Content_Encoding="gzip")
    assert compressed.status in (400, 415)
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"):
        assert (await user.post("/api/tokens", body, Content_Type=kind)).status == 201, kind
    assert (await user.post("/api/external/sync", None, Content_Type="text/plain")).status == 202


async def test_bodies_are_bounded(user: User) -> None:
    answer = await user.post("/api/sources", b'{"x": "' + b"y" * 1_100_000 + b'"}')
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_cannot_be_read_is_the_callers_problem(user: User) -> None:
    nested = b'{"config": ' + b'{"a":' * 200 + b"1" + b"}" * 201
    number = b'{"cache_ttl_seconds": ' + b"9" * 5_000 + b"}"
    for body in (b"{not json", b"[" * 100_000, nested, b"\xff\xfe", b'"text"', b"null", number):
        answer = await user.post("/api/sources", body)
        assert answer.status in (400, 422), body[:20]
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.body["hint"], body[:20]


async def test_validation_errors_point_and_never_quote(user: User) -> None:
    asked = {"source_type": "json_api", "display_name": "", "config": "canary-config", "credentials": ["canary-secret"]}
    answer = await user.post("/api/sources", asked | {"canary": 1, "sync_frequency": "canary-often"})
    assert answer.status == 422
    pointers = {error["pointer"] for error in answer.body["errors"]}
    assert pointers == {"/display_name", "/config", "/credentials", "/canary", "/sync_frequency"}
    assert "canary-" not in answer.text
    assert "Traceback" not in answer.text


async def test_query_and_path_parameters_are_checked(user: User) -> None:
    for path in (
        "/api/sources/not-a-uuid",
        "/api/sources?limit=0",
        "/api/sources?limit=501",
        "/api/inventory?updated_since=yesterday",
        "/api/inventory?updated_since=2026-01-01T00:00:00",
        "/api/runs?source_id=1",
        "/api/inventory?updated_since=9999-12-31T23:59:59-12:00",
        "/api/inventory?updated_since=0001-01-01T00:00:00%2B14:00",
        "/api/audit?action=%00",
        "/api/audit?object_id=a%00b",
    ):
        answer = await user.get(path)
        assert answer.status == 422, path
        assert answer.body["errors"][0]["pointer"] in {"source_id", "limit", "updated_since", "action", "object_id"}
    for path in (
        "/api/inventory?updated_since=0001-01-01T00:00:00Z",
        "/api/vendors?updated_since=9999-12-31T23:59:59Z",
    ):
        assert (await user.get(path)).status == 200, path


async def test_a_cursor_that_nobody_gave_out_is_refused(user: User) -> None:
    for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-01T00:00:00"):
        answer = await user.get(f"/api/runs?cursor={encode_cursor('runs', (at, str(uuid4())))}")
        assert (answer.status, answer.body["type"]) == (400, "urn:headrace:problem:bad-cursor"), at
    for cursor in ("x", "%00", "bm90IGpzb24", "WzFd", "WyJydW5zIl0", "a" * 400, "W1tbW1tb"):
        for path in ("/api/sources", "/api/runs", "/api/inventory"):
            answer = await user.get(f"{path}?cursor={cursor}")
            assert (answer.status, answer.body["type"]) == (400, "urn:headrace:problem:bad-cursor")


async def test_every_answer_carries_the_security_headers(gateway: Gateway, user: User) -> None:
    for answer in [await user.get("/api/sources"), await user.get("/api/none"), await gateway.call("GET", "/api/runs")]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


async def test_pages_need_nobody_signed_in_and_load_nothing(gateway: Gateway) -> None:
    for path in ("/", "/docs"):
        page = await gateway.call("GET", path)
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "<script" not in page.text
        assert "//" not in page.text.replace("</", "")
    assert "/api/sources/{source_id}/sync" in (await gateway.call("GET", "/docs")).text
    schema = (await gateway.call("GET", "/openapi.json")).body
    assert schema["openapi"].startswith("3.1")
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    open_doors = {
        path for path, each in schema["paths"].items() if not all(one.get("security") for one in each.values())
    }
    assert open_doors == {"/api/session", "/webhooks/{source_id}", "/webhooks/quickbooks/{client_id}"}


async def test_health_and_readiness(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/healthz")).status == 200
    ready = await gateway.call("GET", "/readyz")
    assert (ready.status, ready.body) == (200, {"status": "ready", "database": True, "broker": True})
    gateway.bus.faults.away = True
    ready = await gateway.call("GET", "/readyz")
    assert (ready.status, ready.body["broker"]) == (200, False)


@pytest.fixture
def log() -> Iterator[StringIO]:
    handlers, level, stream = logging.root.handlers, logging.root.level, StringIO()
    configure("info", "json", SecretRegistry(), SystemClock(), stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


async def test_an_unforeseen_error_gives_an_id_and_no_stack(gateway: Gateway, user: User, log: StringIO) -> None:
    await gateway.admin.execute("alter table external_data_sources rename column description to gone")
    answer = await user.get("/api/sources")
    assert (answer.status, answer.body["category"]) == (500, "INTERNAL_ERROR")
    assert answer.body["correlation_id"] in answer.body["hint"]
    assert "description" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body["correlation_id"] in log.getvalue()
    assert "UndefinedColumnError" in log.getvalue()
