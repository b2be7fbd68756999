"""The declaration of `quickbooks`: QuickBooks Online, accounting API v3. Pure.

What a consent stores (README.md, "Connecting"): `config.realm_id` from the redirect, and in the sealed credentials
`refresh_token` from the exchange of its code, beside the `client_secret` that was there.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from shared.connector_sdk.oauth import OAuthApp
from shared.connector_sdk.spec import ConnectorSpec, RateLimit, ReadMeter
from shared.connector_sdk.sync_rules import SyncRules
from shared.connectors.quickbooks.config import API, SCOPE, TOKEN_URL, QuickBooksConfig, QuickBooksCredentials
from shared.connectors.quickbooks.mapping import DEFAULT_MAPPINGS, entity_mapping
from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.mapping import EntityMapping, FieldMappings
from shared.http.urls import origin, parse_url

TITLE = "QuickBooks Online"
RATE_LIMITS = {"default": RateLimit(per_second=10, per_minute=500, concurrency=10)}
"""Per company: 500 a minute over all apps, 10 a second and 10 at once for one app (Intuit documentation, limits and
throttles; the number at once is from an older page)."""
SYNC_RULES = SyncRules(max_cursor_age=timedelta(days=30), full_sync_every="7d")
"""Change data capture reaches back 30 days, and nothing else tells deletions (Intuit documentation)."""
FREE_READS = 500_000
"""Reads ("CorePlus") a month of one app over all companies in the tier that costs nothing (Builder); then the vendor
answers 429 until the next month. Writes are not counted (Intuit, limits and throttles; its blog of January 2026)."""
MONTH_ZONE = "America/Los_Angeles"
"""Of the vendor's own times. Where its month turns is documented nowhere."""


def _entities(config: Mapping[str, Any]) -> tuple[Entity, ...]:  # noqa: ARG001 - the spec's signature
    return ENTITIES


def _origins(config: Mapping[str, Any]) -> tuple[str, ...]:
    parsed = QuickBooksConfig.model_validate(config)
    return tuple(sorted({origin(parse_url(address)) for address in (parsed.api, parsed.tokens)}))


def _account(config: Mapping[str, Any], fingerprint: str) -> str:  # noqa: ARG001 - the company is the account
    return QuickBooksConfig.model_validate(config).account


def _mapping(config: Mapping[str, Any], entity: Entity, rules: FieldMappings) -> EntityMapping:  # noqa: ARG001 - as above
    return entity_mapping(entity, rules)


def _app(config: Mapping[str, Any]) -> str:
    return QuickBooksConfig.model_validate(config).client_id


def _supports_incremental(config: Mapping[str, Any], entity: Entity) -> bool:  # noqa: ARG001 - as above
    return True


def _supports_by_id(config: Mapping[str, Any], entity: Entity) -> bool:  # noqa: ARG001 - as above
    return True


def _oauth(config: Mapping[str, Any]) -> OAuthApp:
    parsed = QuickBooksConfig.model_validate(config)
    return OAuthApp(
        title=TITLE,
        client_id=parsed.client_id,
        token_url=parsed.tokens,
        account=parsed.account,
        consent_url=parsed.consent_page,
        scope=SCOPE,
    )


SPEC = ConnectorSpec(
    source_type="quickbooks",
    title=TITLE,
    config=TypeAdapter(QuickBooksConfig),
    credentials=TypeAdapter(QuickBooksCredentials),
    entities=_entities,
    sync_modes=("full", "incremental"),
    supports_realtime=True,
    rate_limits=RATE_LIMITS,
    default_mappings=DEFAULT_MAPPINGS,
    origins=_origins,
    account=_account,
    mapping=_mapping,
    supports_incremental=_supports_incremental,
    supports_by_id=_supports_by_id,
    sync_rules=SYNC_RULES,
    read_meter=ReadMeter(per_month=FREE_READS, zone=MONTH_ZONE, pool=_app),
    vendor_origins=frozenset(origin(parse_url(address)) for address in (*API.values(), TOKEN_URL)),
    oauth=_oauth,
)
