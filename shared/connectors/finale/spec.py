"""The declaration of `finale_inventory`: Finale Inventory over its REST API and its reports. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from shared.connector_sdk.spec import ConnectorSpec, RateLimit
from shared.connector_sdk.sync_rules import SyncRules
from shared.connectors.finale.config import VENDOR_URL, FinaleConfig, FinaleCredentials
from shared.connectors.finale.mapping import DEFAULT_MAPPINGS, entity_mapping
from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.mapping import EntityMapping, FieldMappings
from shared.http.urls import origin, parse_url

RATE_LIMITS = {
    "get": RateLimit(per_minute=120, concurrency=4),
    "post": RateLimit(per_minute=120, concurrency=4),
    "collection": RateLimit(per_hour=300, concurrency=2),
    "report": RateLimit(concurrency=1),
}
"""Of the account, all keys together; a collection read counts as `get` and as `collection` (the vendor's figures, met
second-hand; whether the hour's class counts collections or reports is disputed, so both count).
`report` is our own: two reports at once were seen to be refused or dropped."""


def _origins(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (origin(parse_url(FinaleConfig.model_validate(config).base_url)),)


def _account(config: Mapping[str, Any], fingerprint: str) -> str:  # noqa: ARG001 - the limits are the account's, whichever key
    return f"{_origins(config)[0]}|{FinaleConfig.model_validate(config).account.lower()}"


def _mapping(config: Mapping[str, Any], entity: Entity, rules: FieldMappings) -> EntityMapping:
    return entity_mapping(FinaleConfig.model_validate(config), entity, rules)


def _supports_incremental(config: Mapping[str, Any], entity: Entity) -> bool:
    """Orders alone. A change of stock stamps no product, so only a whole read of products and stock is true, and it
    costs three calls; suppliers cost one either way. A report is always whole."""
    return entity == "purchase_orders" and entity not in FinaleConfig.model_validate(config).report_urls


SPEC = ConnectorSpec(
    source_type="finale_inventory",
    title="Finale Inventory",
    config=TypeAdapter(FinaleConfig),
    credentials=TypeAdapter(FinaleCredentials),
    entities=lambda _: ENTITIES,
    sync_modes=("full", "incremental"),
    supports_realtime=False,
    rate_limits=RATE_LIMITS,
    default_mappings=DEFAULT_MAPPINGS,
    origins=_origins,
    account=_account,
    mapping=_mapping,
    supports_incremental=_supports_incremental,
    # A filter on lastUpdatedDate spans 30 days (Finale documentation, filtering resources), and tells no deletion.
    sync_rules=SyncRules(max_cursor_age=timedelta(days=30), full_sync_every="7d"),
    vendor_origins=frozenset({origin(parse_url(VENDOR_URL))}),
)
