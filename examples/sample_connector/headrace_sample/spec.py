"""The declaration of `sample`: what the catalogue shows. No I/O."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from headrace_sample.config import SampleConfig, SampleCredentials
from headrace_sample.mapping import DEFAULT_MAPPINGS, entity_mapping
from shared.connector_sdk.public import (
    ConnectorSpec,
    Entity,
    EntityMapping,
    FieldMappings,
    RateLimit,
    account_of,
    origin,
    parse_url,
)


def _entities(config: Mapping[str, Any]) -> tuple[Entity, ...]:  # noqa: ARG001 - every shop has both
    return ("inventory", "vendors")


def _origins(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (origin(parse_url(SampleConfig.model_validate(config).base_url)),)


def _account(config: Mapping[str, Any], fingerprint: str) -> str:
    return account_of(_origins(config), fingerprint)


def _mapping(config: Mapping[str, Any], entity: Entity, rules: FieldMappings) -> EntityMapping:  # noqa: ARG001
    return entity_mapping(entity, rules)


def _supports_incremental(config: Mapping[str, Any], entity: Entity) -> bool:  # noqa: ARG001 - the spec's signature
    return entity == "inventory"


SPEC = ConnectorSpec(
    source_type="sample",
    title="Sample shop",
    config=TypeAdapter(SampleConfig),
    credentials=TypeAdapter(SampleCredentials),
    entities=_entities,
    sync_modes=("full", "incremental"),
    supports_realtime=False,
    rate_limits={"default": RateLimit(per_minute=120, concurrency=2)},
    default_mappings=DEFAULT_MAPPINGS,
    origins=_origins,
    account=_account,
    mapping=_mapping,
    supports_incremental=_supports_incremental,
)
