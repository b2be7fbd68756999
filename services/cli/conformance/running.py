"""The kit as this product runs it: all connectors that can be found, and the real mapping engine."""

from collections.abc import Mapping, Sequence

from services.transformer.engine import compile_mapping
from shared.connector_sdk.conformance.checking import Kit
from shared.connector_sdk.conformance.description import find_description
from shared.connector_sdk.protocol import Connector
from shared.connector_sdk.registry import discover
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import RawRecord

PACKAGE = "services.cli.conformance"
"""Where the built-in connectors' descriptions lie."""


def kit_of(source_type: str) -> Kit:
    """Raises ConfigurationError for an unknown connector or one without a description, StartupError if it is broken."""
    return kit_for(discover().get(source_type))


def kit_for(connector: Connector) -> Kit:
    """Raises as `kit_of` does."""
    return Kit(connector, find_description(connector.spec.source_type, PACKAGE), map_records)


def map_records(entity: Entity, mapping: EntityMapping, records: Sequence[RawRecord]) -> Sequence[str]:
    """Why each rejected record was rejected, in the transformer's words."""
    rejects = compile_mapping(entity, mapping).apply(records).rejects
    return [reject.reason if reject.field is None else f"{reject.field}: {reject.reason}" for reject in rejects]


def known() -> Mapping[str, Connector]:
    """Every connector by source type."""
    registry = discover()
    return {name: registry.get(name) for name in registry.specs()}
