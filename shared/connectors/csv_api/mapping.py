"""The complete mapping of an entity of a CSV file: key and notation from the config, fields from the user. Pure."""

from shared.connectors.csv_api.config import EntityConfig
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings

DEFAULT_MAPPINGS: FieldMappings = {}
"""None: without rules, columns fill the internal fields of the same name."""


def entity_mapping(config: EntityConfig, entity: Entity, rules: FieldMappings) -> EntityMapping:
    """`version` is the caller's to set."""
    return EntityMapping(
        id_path=config.id_column,
        filter=config.filter,
        decimal=config.decimal,
        thousands=config.thousands,
        fields=rules.get(entity),
    )
