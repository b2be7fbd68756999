"""The declaration of `json_api`: any vendor's JSON over HTTP. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from shared.connector_sdk.credentials import JsonApiCredentials, credentials_adapter
from shared.connector_sdk.http_config import account_of
from shared.connector_sdk.spec import ConnectorSpec, RateLimit
from shared.connector_sdk.sync_rules import SyncRules
from shared.connectors.json_api.config import ID_PLACE, JsonApiConfig
from shared.connectors.json_api.mapping import DEFAULT_MAPPINGS, entity_mapping
from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.mapping import EntityMapping, FieldMappings
from shared.http.urls import origin, parse_url

RATE_LIMITS = {"default": RateLimit(concurrency=4)}
"""Nobody knows a stranger's limits but its user: `rate_limit` says them; without it only the calls at once are held."""


def _entities(config: Mapping[str, Any]) -> tuple[Entity, ...]:
    configured = JsonApiConfig.model_validate(config).entities
    return tuple(entity for entity in ENTITIES if entity in configured)


def _origins(config: Mapping[str, Any]) -> tuple[str, ...]:
    found: set[str] = set()
    for entity in JsonApiConfig.model_validate(config).entities.values():
        found.add(origin(parse_url(entity.url)))
        if entity.by_id_url is not None:
            found.add(origin(parse_url(entity.by_id_url.replace(ID_PLACE, "0"))))
    return tuple(sorted(found))


def _account(config: Mapping[str, Any], fingerprint: str) -> str:
    return account_of(_origins(config), fingerprint)


def _mapping(config: Mapping[str, Any], entity: Entity, rules: FieldMappings) -> EntityMapping:
    return entity_mapping(JsonApiConfig.model_validate(config).entities[entity], entity, rules)


def _supports_incremental(config: Mapping[str, Any], entity: Entity) -> bool:
    """Only who can be asked for changes. Where to go on from, the records say (`updated_at_path`), else our clock."""
    return JsonApiConfig.model_validate(config).entities[entity].updated_since_param is not None


def _supports_by_id(config: Mapping[str, Any], entity: Entity) -> bool:
    return JsonApiConfig.model_validate(config).entities[entity].by_id_url is not None


SPEC = ConnectorSpec(
    source_type="json_api",
    title="JSON API",
    config=TypeAdapter(JsonApiConfig),
    credentials=credentials_adapter(JsonApiCredentials),
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
    sync_rules=SyncRules(full_sync_every="7d"),  # changes tell no deletion
)
