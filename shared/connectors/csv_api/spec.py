"""The declaration of `csv_api`: anybody's CSV file over HTTP. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from shared.connector_sdk.credentials import CsvApiCredentials, credentials_adapter
from shared.connector_sdk.http_config import account_of
from shared.connector_sdk.spec import ConnectorSpec, RateLimit
from shared.connectors.csv_api.config import CsvApiConfig
from shared.connectors.csv_api.mapping import DEFAULT_MAPPINGS, entity_mapping
from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.mapping import EntityMapping, FieldMappings
from shared.http.urls import origin, parse_url

RATE_LIMITS = {"default": RateLimit(concurrency=4)}
"""Nobody knows a stranger's limits but its user: `rate_limit` says them; without it only the calls at once are held."""


def _entities(config: Mapping[str, Any]) -> tuple[Entity, ...]:
    configured = CsvApiConfig.model_validate(config).entities
    return tuple(entity for entity in ENTITIES if entity in configured)


def _origins(config: Mapping[str, Any]) -> tuple[str, ...]:
    configured = CsvApiConfig.model_validate(config).entities.values()
    return tuple(sorted({origin(parse_url(entity.url)) for entity in configured}))


def _account(config: Mapping[str, Any], fingerprint: str) -> str:
    return account_of(_origins(config), fingerprint)


def _mapping(config: Mapping[str, Any], entity: Entity, rules: FieldMappings) -> EntityMapping:
    return entity_mapping(CsvApiConfig.model_validate(config).entities[entity], entity, rules)


def _supports_incremental(config: Mapping[str, Any], entity: Entity) -> bool:  # noqa: ARG001 - the spec's signature
    """A file is always read whole."""
    return False


SPEC = ConnectorSpec(
    source_type="csv_api",
    title="CSV file",
    config=TypeAdapter(CsvApiConfig),
    credentials=credentials_adapter(CsvApiCredentials),
    entities=_entities,
    sync_modes=("full",),
    supports_realtime=True,
    rate_limits=RATE_LIMITS,
    default_mappings=DEFAULT_MAPPINGS,
    origins=_origins,
    account=_account,
    mapping=_mapping,
    supports_incremental=_supports_incremental,
)
