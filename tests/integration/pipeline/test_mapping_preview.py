"""A mapping tried on real records: fetcher and transformer as they ship, asked as the gateway asks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline import Pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from services.gateway.api_tokens import BearerVerifier
from services.gateway.deps import GatewayDeps
from services.gateway.jwts import SecretTokenVerifier
from services.gateway.models import MappingPreview, PreviewAsked
from services.gateway.previewing import preview
from services.gateway.problems import ProblemError
from shared.clock import SystemClock
from shared.connector_sdk.registry import discover_specs
from shared.http.egress import EgressPolicy
from shared.sealing.symmetric import derive_webhook_keys


@pytest.fixture
def deps(pipeline: Pipeline) -> GatewayDeps:
    database = pipeline.databases["gateway"]
    return GatewayDeps(
        database=database,
        bus=pipeline.bus,
        specs=discover_specs(),
        sealing=pipeline.ring.public(),
        webhook_box=derive_webhook_keys(pipeline.ring),
        egress=EgressPolicy(),
        verifier=BearerVerifier(SecretTokenVerifier("x" * 40, "authenticated"), database, SystemClock()),
        clock=SystemClock(),
        probe_timeout=20,
    )


@pytest.fixture
async def shop() -> AsyncIterator[tuple[JsonApiState, dict[str, Any]]]:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as base:
        entity = {"url": f"{base}/page/products", "records_path": "items", "id_path": "productID"}
        yield state, {"entities": {"inventory": entity}}


def asked(config: dict[str, Any], mapping: dict[str, Any] | None, **members: Any) -> PreviewAsked:
    body: dict[str, Any] = {
        "source_type": "json_api",
        "config": config,
        "credentials": {"type": "none"},
        "entity": "inventory",
        "mapping": mapping,
    }
    return PreviewAsked.model_validate(body | members)


async def tried(pipeline: Pipeline, deps: GatewayDeps, body: PreviewAsked) -> MappingPreview:
    found = await preview(deps, pipeline.user_id, body)
    assert await pipeline.admin.fetchval("select count(*) from connection_probes") == 0
    return found


async def test_raw_records_stand_beside_their_rows(pipeline: Pipeline, deps: GatewayDeps, shop: Any) -> None:
    state, config = shop
    mapping = {"sku": "to_string(productID)", "name": "productName", "quantity_on_hand": "unitsInStock"}
    found = await tried(pipeline, deps, asked(config, mapping, sample=3))
    assert (found.ok, len(found.items)) == (True, 3)
    for item in found.items:
        record = next(each for each in state.records("products") if each["productID"] == item.raw["productID"])
        assert item.mapped is not None
        assert item.mapped["name"] == record["productName"]
        assert item.mapped["quantity_on_hand"] == str(record["unitsInStock"])
        assert item.external_id == str(record["productID"])
        assert item.errors == []
    assert await pipeline.rows("inventory") == []


async def test_every_wrong_field_is_named(pipeline: Pipeline, deps: GatewayDeps, shop: Any) -> None:
    _, config = shop
    mapping = {"name": "productName", "quantity_on_hand": "productName", "status": "productName"}
    found = await tried(pipeline, deps, asked(config, mapping, sample=1))
    (item,) = found.items
    assert item.mapped is None
    assert [problem.field for problem in item.errors] == ["quantity_on_hand", "status"]
    assert all("expected" in problem.reason for problem in item.errors)


async def test_a_filtered_record_says_so(pipeline: Pipeline, deps: GatewayDeps, shop: Any) -> None:
    _, config = shop
    config["entities"]["inventory"]["filter"] = "productID == `1`"
    found = await tried(pipeline, deps, asked(config, {"name": "productName"}, sample=2))
    assert [(item.filtered, item.mapped is None) for item in found.items] == [(False, False), (True, True)]


async def test_a_stored_source_is_sampled_with_its_own_credentials(
    pipeline: Pipeline, deps: GatewayDeps, shop: Any
) -> None:
    _, config = shop
    source_id = await pipeline.add_source(config)
    body = PreviewAsked(source_id=source_id, entity="inventory", mapping={"name": "productName"}, sample=1)
    found = await tried(pipeline, deps, body)
    assert found.items[0].mapped is not None


async def test_what_the_vendor_refuses_is_the_result(pipeline: Pipeline, deps: GatewayDeps, shop: Any) -> None:
    state, config = shop
    state.behaviour.faults.set(FaultRule(kind="status", status=401))
    found = await tried(pipeline, deps, asked(config, {"name": "productName"}))
    assert (found.ok, found.category, bool(found.hint), found.items) == (False, "AUTH_FAILED", True, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mapping": {"name": "sum("}}, "/mapping/name"),
        ({"mapping": {"colour": "productName"}}, "/mapping/colour"),
        ({"entity": "vendors"}, "/entity"),
        ({"config": {}}, "/config"),
    ],
)
async def test_what_cannot_be_tried_is_refused(
    pipeline: Pipeline, deps: GatewayDeps, shop: Any, change: dict[str, Any], said: str
) -> None:
    _, config = shop
    with pytest.raises(ProblemError) as refused:
        await tried(pipeline, deps, asked(**{"config": config, "mapping": {"name": "productName"}} | change))
    assert refused.value.status == 422
    assert said in str(refused.value.body)
