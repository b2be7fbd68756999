"""A real Finale account, read and never written: what the connector takes for granted of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from vendor_shell import calling, chosen, of_shell

from services.transformer.engine import compile_mapping
from shared.clock import SystemClock
from shared.connector_sdk.conformance.workbench import Ledger
from shared.connector_sdk.credentials import apply
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import BadRecord, Page, ReadRequest
from shared.connectors.finale.orders_state import OrdersState
from shared.connectors.finale.places import MOST_LISTED
from shared.connectors.finale.source import FinaleConnector, FinaleSource
from shared.connectors.finale.spec import SPEC
from shared.contracts.ids import ENTITIES, Entity
from shared.errors import AuthenticationError
from shared.http.client import HttpClient

pytestmark = [pytest.mark.vendor, pytest.mark.timeout(900)]
NAMES = ("FINALE_ACCOUNT", "FINALE_API_KEY", "FINALE_API_SECRET")


@dataclass(frozen=True)
class Account:
    """The configured account, and what it was asked."""

    config: dict[str, Any]
    source: FinaleSource
    client: MeteredClient

    async def whole(self, entity: Entity) -> list[Any]:
        return [record async for record in self.source.read_all(ReadRequest(entity, None))]


def config_of(account: str) -> dict[str, Any]:
    found: dict[str, Any] = {"account": account, "time_zone": chosen("FINALE_TIME_ZONE") or "UTC"}
    if (base := chosen("FINALE_BASE_URL")) is not None:
        found["base_url"] = base
    return found


def opened(http: HttpClient, config: dict[str, Any], key: str, secret: str) -> Account:
    SPEC.config.validate_python(config)
    secrets = apply(SPEC.credentials.validate_python({"api_key": key, "api_secret": secret}))
    client = MeteredClient(http, secrets, Ledger())
    return Account(config, FinaleConnector(SystemClock()).open(config, client), client)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with calling() as client:
        yield client


@pytest.fixture
def account(http: HttpClient) -> Account:
    name, key, secret = of_shell(*NAMES)
    return opened(http, config_of(name), key, secret)


def assert_maps(account: Account, entity: Entity, records: list[Any]) -> None:
    good = [record for record in records if not isinstance(record, BadRecord)]
    assert len(good) == len(records), [record.reason for record in records if isinstance(record, BadRecord)][:3]
    mapped = compile_mapping(entity, SPEC.mapping(account.config, entity, {})).apply(good)
    assert [f"{reject.field}: {reject.reason}" for reject in mapped.rejects][:3] == []
    assert len({row.external_id for row in mapped.rows}) == len(good)
    assert all(row.external_id.startswith(f"/{account.config['account']}/api/") for row in mapped.rows)


async def test_each_entity_answers(account: Account) -> None:
    for entity in ENTITIES:
        assert await account.source.check(entity) >= 0


async def test_a_wrong_secret_is_refused(http: HttpClient) -> None:
    name, key, _ = of_shell(*NAMES)
    with pytest.raises(AuthenticationError):
        await opened(http, config_of(name), key, "wrong").source.check("inventory")


@pytest.mark.parametrize("entity", ["inventory", "vendors"])
async def test_a_whole_collection_becomes_rows(account: Account, entity: Entity) -> None:
    records = await account.whole(entity)
    print(f"\n{len(records):,} {entity} in {account.client.calls} calls, {account.client.bytes_read:,} bytes")
    assert_maps(account, entity, records)
    for product in records if entity == "inventory" else ():
        places = product.get("stockLocations", ())
        lying = sum(place["quantityOnHand"] for place in places)
        assert len(places) == MOST_LISTED or lying == product["quantityOnHand"], (
            f"{product['productUrl']}: a row on hand names no facility"
        )


async def _some_orders(account: Account) -> list[Any]:
    """Of the first pages of a first read."""
    request = ReadRequest("purchase_orders", None)
    page: Page = await account.source.read_page(request, None)
    if not page.records and page.next_cursor is not None:
        page = await account.source.read_page(request, page.next_cursor)
    return [*page.records, *page.rejects]


async def test_orders_become_rows(account: Account) -> None:
    orders = await _some_orders(account)
    print(f"\n{len(orders)} orders in {account.client.calls} calls")
    assert_maps(account, "purchase_orders", orders)


async def test_graphql_tells_what_rest_tells(account: Account) -> None:
    page = await account.source.read_page(ReadRequest("purchase_orders", None), OrdersState(view="").cursor())
    assert_maps(account, "purchase_orders", [*page.records, *page.rejects])
    by_view = {order["orderUrl"]: order for order in page.records}
    both = [order for order in await _some_orders(account) if order["orderUrl"] in by_view]
    print(f"\n{len(both)} orders were read by both")
    for order in both:
        other = by_view[order["orderUrl"]]
        for name in ("orderId", "statusId", "vendorUrl", "receiptState"):
            assert other.get(name) == order.get(name), (order["orderUrl"], name)
        assert len(other["orderItemList"]) == len(order["orderItemList"])
        totals = [Decimal(str(one.get("orderItemListTotal") or 0)) for one in (order, other)]
        assert totals[0] == totals[1]


@pytest.mark.parametrize("entity", ENTITIES)
async def test_a_report_gives_the_rows_of_rest(http: HttpClient, entity: Entity) -> None:
    """Each address by a variable of its own; an entity without one is not read by report."""
    name, key, secret = of_shell(*NAMES)
    address = chosen(f"FINALE_REPORT_{entity.upper()}")
    if address is None:
        return
    by_report = opened(http, config_of(name) | {"report_urls": {entity: address}}, key, secret)
    records = await by_report.whole(entity)
    print(f"\n{len(records):,} {entity} by report in {by_report.client.calls} calls")
    assert_maps(by_report, entity, records)
