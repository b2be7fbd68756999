"""Each route of the application, asked by another tenant with the victim's ids, and by tokens that may too little."""

from collections.abc import AsyncIterator

import pytest
from gateway_harness import Answer, Gateway, User, running_gateway
from route_table import Request, Route, Routes
from tenants import FILLED, Tenant, dump, furnished

ADMIN = "/api/ops/"
PEOPLE_ONLY = ("/api/tokens", "/api/session")
RUNNING = frozenset(
    {"sync_status", "last_attempt_at", "next_run_seq", "run_seq", "updated_at", "last_used_at", "last_run_seq"}
)
"""Columns that a run or a use moves, which is what the scope `sync` is for."""
Scene = tuple[Gateway, Tenant, Tenant]


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with (
        running_gateway(database_url, probe_timeout=0.1) as gateway,
        furnished(gateway, database_url) as (victim, other),
    ):
        held = await dump(gateway.admin, victim.user)
        assert {table for table, rows in held.items() if rows} >= FILLED
        yield gateway, victim, other


async def ask(user: User, request: Request) -> Answer:
    answer = await user.call(request.route.method, request.path, request.body)
    assert answer.status < 500 or answer.status == 503, (request, answer.text)
    return answer


async def test_another_tenant_reaches_nothing_on_any_route(scene: Scene) -> None:
    gateway, victim, other = scene
    table = Routes(gateway.deps)
    before = await dump(gateway.admin, victim.user)
    leaks: list[tuple[Request, int, list[str]]] = []
    named: set[Route] = set()
    for route in table.all:
        for request in table.requests(route, victim.ids):
            answer = await ask(other.user, request)
            everything = answer.text + str(answer.headers)
            if found := victim.seen_in(everything):
                leaks.append((request, answer.status, found))
            named |= {route} if route.parameters else set()
            if route.below_api and route.parameters:
                assert answer.status >= 400, (request, answer.status)
    assert leaks == []
    assert len(named) >= 12, "the matrix named hardly anything of the victim's"
    after = await dump(gateway.admin, victim.user)
    assert [name for name in before if before[name] != after[name]] == []
    # Nor may a row of the other tenant's now point at the victim's.
    assert [name for name, rows in (await dump(gateway.admin, other.user)).items() if victim.seen_in(rows)] == []


async def test_the_owner_is_answered_where_the_other_was_refused(scene: Scene) -> None:
    """The same requests by the victim: else the matrix above asks for what nobody has."""
    gateway, victim, _ = scene
    table = Routes(gateway.deps)
    showing, refused = 0, []
    for route in table.all:
        if not route.below_api or route.path.startswith(ADMIN) or route.path == "/api/session":
            continue  # a session is a browser's: it has a cookie, no bearer token
        answers = [await ask(victim.user, request) for request in table.requests(route, victim.ids)]
        if all(answer.status in (401, 403, 404) for answer in answers):
            refused.append((str(route), [answer.status for answer in answers]))
        shown = any(victim.seen_in(answer.text) for answer in answers if answer.status < 300)
        showing += shown
        if route.method == "GET" and route.parameters:
            assert shown, route
    assert refused == []
    assert showing >= 12


async def test_what_is_for_administrators_is_for_nobody_else(scene: Scene) -> None:
    gateway, victim, other = scene
    table = Routes(gateway.deps)
    for route in table.all:
        if route.path.startswith(ADMIN):
            for request in table.requests(route, victim.ids):
                for user in (victim.user, other.user):
                    assert (await ask(user, request)).status == 403, request


@pytest.mark.parametrize("scope", ["read", "sync", "write", "admin"])
async def test_a_token_reaches_no_further_than_its_scope(scene: Scene, scope: str) -> None:
    gateway, victim, _ = scene
    owner = victim.user
    made = await User(gateway, owner.id, {"app_metadata": {"headrace_role": "admin"}}).post(
        "/api/tokens", {"name": scope, "scopes": [scope]}
    )
    assert made.status == 201, made.text
    bearer = f"Bearer {made.body['token']}"
    table = Routes(gateway.deps)
    before = await dump(gateway.admin, owner, RUNNING)
    reached: set[Route] = set()
    for route in table.all:
        if not route.below_api:
            continue
        for request in table.requests(route, victim.ids):
            answer = await owner.call(route.method, request.path, request.body, Authorization=bearer)
            if answer.status == 403:
                assert answer.headers["content-type"] == "application/problem+json"
                assert not victim.seen_in(answer.text), request
            else:
                reached.add(route)
    assert not [route for route in reached if route.path.startswith(PEOPLE_ONLY)]
    if scope == "admin":
        assert not [route for route in reached if not route.path.startswith(ADMIN)]
        return
    assert not [route for route in reached if route.path.startswith(ADMIN)]
    reads = {route for route in reached if route.method == "GET"}
    changed = [name for name, rows in (await dump(gateway.admin, owner, RUNNING)).items() if rows != before[name]]
    if scope == "read":
        assert reached == reads
        assert len(reads) >= 9
        assert changed == []
    else:
        assert reads == set()
    if scope == "sync":
        assert {"external_data_sources", "api_tokens", "webhook_secrets", "inventory", "vendors"}.isdisjoint(changed)
        assert "sync_runs" in changed
    if scope == "write":
        assert "external_data_sources" in changed
