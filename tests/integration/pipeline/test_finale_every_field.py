"""A shop of 7,800 products, 300 suppliers and 2,000 orders, by each way to read it: every field of every row."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from finale_reports import CREDENTIALS, config
from finale_scaled import scaled_pipeline
from finale_trouble import by_rest
from finale_truth import TRUTHS, assert_equal, stored

from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.connector_sdk.spec import RateLimit
from shared.connectors.finale.account import COLLECTION_CAP
from shared.connectors.finale.source import FinaleConnector
from shared.contracts.ids import ENTITIES, Entity

_FAST = {name: RateLimit(per_second=100) for name in ("get", "post", "collection")} | {
    "report": RateLimit(concurrency=1)
}
"""Windows of the sandbox are shortened likewise: what is shown here is what arrives, not how long the budget takes."""
_WAYS: dict[str, tuple[Callable[[str], dict[str, Any]], tuple[Entity, ...], int]] = {
    "rest": (by_rest, ENTITIES, COLLECTION_CAP),
    "csv": (config, ENTITIES, COLLECTION_CAP),
    "jsonObject": (lambda url: config(url, "jsonObject"), ENTITIES, COLLECTION_CAP),
    "graphql": (by_rest, ("purchase_orders",), 2_000),
}


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", _WAYS)
async def test_every_field_of_a_large_shop(database_url: str, redis_url: str, redis_prefix: str, way: str) -> None:
    configure, entities, cap = _WAYS[way]
    state = FinaleState(
        filling(Size.of_products(7_800)), switches=Switches(window_scale=0.002, collection_cap=min(cap, 120_000))
    )
    async with (
        running(build_app(state)) as url,
        scaled_pipeline(database_url, redis_url, redis_prefix, FinaleConnector(cap=cap), _FAST) as pipeline,
    ):
        source = await pipeline.add_source(configure(url), CREDENTIALS, source_type="finale_inventory")
        for turn in ("first", "second"):
            started, before = time.monotonic(), len(state.arrivals)

            view = await pipeline.sync(source, entities=entities, within=400)

            assert view.status == "succeeded", view
            took, calls = time.monotonic() - started, len(state.arrivals) - before
            fields = 0
            for entity in entities:
                rows = await stored(pipeline, entity, source)
                assert_equal(entity, rows, TRUTHS[entity](state))
                fields += sum(len(row) + sum(map(len, row.get("lines", ()))) for row in rows.values())
            read = {entity: counted.read for entity, counted in view.entities.items()}
            print(f"\n{way}, {turn}: {read}, {fields:,} fields, {calls:,} calls, {took:.0f} s")
            _live_a_day(state)


def _live_a_day(state: FinaleState) -> None:
    ordered = {line.get("productUrl") for one in state.records("order") for line in one["orderItemList"]}
    for product in state.records("product")[::100]:
        if product["productUrl"] not in ordered:
            state.edit_product(product["productUrl"], internalName=f"Edited {product['productId']}")
    place = state.records("facility")[1]["facilityUrl"]
    for product in state.records("product")[::50]:
        state.add_stock(product["productUrl"], place, 3)
    for order in state.records("order")[::40]:
        if order["orderTypeId"] == "PURCHASE_ORDER" and order["statusId"] == "ORDER_LOCKED":
            line = next((one for one in order["orderItemList"] if "productUrl" in one), None)
            if line is not None:
                state.receive(order["orderUrl"], {line["productUrl"]: 1})
    for party in state.records("partygroup")[::20]:
        state.edit_party(party["partyGroupUrl"], settlementTermId="NET_15")
