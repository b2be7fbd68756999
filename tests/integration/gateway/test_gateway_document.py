"""The OpenAPI document against the running gateway: generated requests, and no answer that it does not foresee."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
import schemathesis
from gateway_harness import Gateway, running_gateway, token
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from route_table import Route, Routes
from schemathesis import Case, GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tenants import Tenant, furnished

LEFT_OUT = [
    positive_data_acceptance,  # a schema cannot say which config fits which connector, nor which cursor was given out
]
"""Left out always. `negative_data_rejection` counts where the body or the path is what is wrong: a query parameter that
nobody knows is passed over, as HTTP servers do, and credentials are the matter of test_gateway_credentials. What needs
a story of several requests (use_after_free, object_level_authorization) is proven by test_gateway_tenants."""


class Explorer:
    """Generated requests of two tenants, with each other's ids as well."""

    def __init__(self, gateway: Gateway, tenants: Sequence[Tenant], examples: int) -> None:
        self.routes = Routes(gateway.deps)
        self._schema = schemathesis.openapi.from_dict(self.routes.document)
        self._schema.config.update(base_url=gateway.url)
        refusals = self._schema.config.checks.negative_data_rejection
        # A text far beyond its limit makes a body that is refused before anybody reads it.
        refusals.expected_statuses = [*refusals.expected_statuses, "413"]
        self._tenants = tenants
        self._examples = examples
        self._random = random.Random(1)
        self.statuses: dict[str, set[int]] = {}

    def explore(self) -> None:
        """Raises schemathesis' failures."""
        for route in self.routes.all:
            if route.operation:
                for mode in GenerationMode:
                    self._operation(route, mode)

    def _operation(self, route: Route, mode: GenerationMode) -> None:
        operation: Any = self._schema[route.path][route.method]

        @settings(
            max_examples=self._examples, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered_as_documented(case: Case) -> None:
            self._call(route, case)

        try:
            answered_as_documented()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, route  # it takes nothing, so nothing can be wrong

    def _call(self, route: Route, case: Case) -> None:
        user, owner = (self._random.choice(self._tenants) for _ in range(2))
        assert case.meta is not None
        negated = {place for place, component in case.meta.components.items() if component.mode.is_negative}
        known = {name: owner.ids[name] for name in route.parameters if name in owner.ids}
        if known and self._random.random() < 0.7:
            case.path_parameters = {**case.path_parameters, **known}
            negated.discard(ParameterLocation.PATH)
        counts = negated & {ParameterLocation.PATH, ParameterLocation.BODY}
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {token(user.user.id)}"},
            excluded_checks=LEFT_OUT if counts else [*LEFT_OUT, negative_data_rejection],
            timeout=20,
        )
        self.statuses.setdefault(str(route), set()).add(answer.status_code)


async def explored(database_url: str, examples: int) -> Explorer:
    async with (
        running_gateway(database_url, probe_timeout=0.05) as gateway,
        furnished(gateway, database_url) as tenants,
    ):
        explorer = Explorer(gateway, tenants, examples)
        await asyncio.to_thread(explorer.explore)
    return explorer


async def test_every_answer_is_one_that_the_document_foresees(database_url: str) -> None:
    explorer = await explored(database_url, examples=3)
    asked = {str(route) for route in explorer.routes.all if route.operation}
    assert explorer.statuses.keys() == asked
    assert sum(any(status < 300 for status in found) for found in explorer.statuses.values()) >= 18


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_every_answer_to_many_more_requests_is_one_that_the_document_foresees(database_url: str) -> None:
    assert (await explored(database_url, examples=60)).statuses


async def test_the_document_names_problems_headers_and_bodies(gateway: Gateway) -> None:
    document = (await gateway.call("GET", "/openapi.json")).body
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            assert {"4XX", "5XX"} < responses.keys()
            problems = [responses[status] for status in responses if status[0] in "45"]
            assert all(list(problem["content"]) == ["application/problem+json"] for problem in problems)
            assert ("401" in responses) == path.startswith("/api/")
    start = document["paths"]["/api/sources/{source_id}/sync"]["post"]["responses"]
    assert start["202"]["headers"].keys() == {"Location", "Idempotency-Replayed"}
    hook = document["paths"]["/webhooks/{source_id}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert hook["properties"]["events"]["items"]["$ref"] == "#/components/schemas/WebhookEvent"
    assert "WebhookEvent" in document["components"]["schemas"]
